"""What instances are called, and whom they ask for names: many of them at once on one node.

kubernetes.io, "DNS for Services and Pods", "Adding entries to Pod /etc/hosts with HostAliases"; resolv.conf(5).
"""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Object, Site, message, reason
from tests.integration.semantics.network.conftest import CLUSTER_DNS
from tests.integration.semantics.network.world import all_ready, instance, pid, remove

CLUSTER_SEARCH = "search default.svc.cluster.test svc.cluster.test cluster.test example.org corp.example.org"
NODE_LINES = ["search example.org corp.example.org", "nameserver 192.0.2.53", "options timeout:1 ndots:2"]
CLUSTER_LINES = [CLUSTER_SEARCH, f"nameserver {CLUSTER_DNS}", "options ndots:5"]
ONE_SERVER = {"nameservers": ["192.0.2.99"]}


@dataclass(frozen=True)
class Case:
    """An instance, and what is to be seen in it."""

    rule: str
    spec: dict[str, Any]
    resolver: list[str] | None = None
    hosts: tuple[str, ...] = ()
    """Lines that /etc/hosts has, with {ip} for the instance's address."""
    hostname: str = ""
    """In the kernel, in /etc/hostname and in HOSTNAME; {name} is the instance's."""


CASES = {
    "plain": Case(
        "the instance's name leads to its address, localhost to loopback; names are asked of the cluster",
        {},
        CLUSTER_LINES,
        ("127.0.0.1\tlocalhost", "{ip}\tplain"),
        "plain",
    ),
    "named": Case("hostname is instead of the name", {"hostname": "db"}, None, ("{ip}\tdb",), "db"),
    "in-a-domain": Case(
        "subdomain makes a full name, which hosts has, and the kernel not",
        {"hostname": "db", "subdomain": "backend"},
        None,
        ("{ip}\tdb.backend.default.svc.cluster.test\tdb",),
        "db",
    ),
    "full": Case(
        "setHostnameAsFQDN: the kernel is told the full one",
        {"hostname": "db", "subdomain": "backend", "setHostnameAsFQDN": True},
        None,
        ("{ip}\tdb.backend.default.svc.cluster.test\tdb",),
        "db.backend.default.svc.cluster.test",
    ),
    "full-without-a-domain": Case("without subdomain there is no full name", {"setHostnameAsFQDN": True}, None, (), "{name}"),
    "aliases": Case(
        "hostAliases are further lines, one for each address",
        {"hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a.test", "b.test"]}, {"ip": "fd00::1", "hostnames": ["c.test"]}]},
        None,
        ("192.0.2.1\ta.test\tb.test", "fd00::1\tc.test", "{ip}\taliases"),
        "{name}",
    ),
    "default": Case("Default: as the node", {"dnsPolicy": "Default"}, NODE_LINES),
    "none": Case(
        "None: dnsConfig alone",
        {
            "dnsPolicy": "None",
            "dnsConfig": {
                "nameservers": ["192.0.2.1", "fd00::53"],
                "searches": ["ns1.svc.cluster-domain.example", "my_zone", "."],
                "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
            },
        },
        [
            "search ns1.svc.cluster-domain.example my_zone .",
            "nameserver 192.0.2.1",
            "nameserver fd00::53",
            "options ndots:2 edns0",
        ],
    ),
    "added": Case(
        "dnsConfig is added: servers and searches behind, options over those of the same name, nothing twice",
        {
            "dnsPolicy": "Default",
            "dnsConfig": {
                "nameservers": ["192.0.2.53", "192.0.2.99"],
                "searches": ["example.org", "new.example"],
                "options": [{"name": "ndots", "value": "4"}, {"name": "rotate"}],
            },
        },
        [
            "search example.org corp.example.org new.example",
            "nameserver 192.0.2.53",
            "nameserver 192.0.2.99",
            "options timeout:1 ndots:4 rotate",
        ],
    ),
    "limited": Case(
        "three servers, of all of them, and 32 searches",
        {
            "dnsPolicy": "Default",
            "dnsConfig": {"nameservers": [f"192.0.2.{n}" for n in (1, 2, 3)], "searches": [f"s{n}" for n in range(31)]},
        },
        [
            f"search example.org corp.example.org {' '.join(f's{n}' for n in range(30))}",
            *(f"nameserver 192.0.2.{n}" for n in (53, 1, 2)),
            "options timeout:1 ndots:2",
        ],
    ),
    "host": Case(
        "on the node's network ClusterFirst is Default; host name and hosts are the node's",
        {"hostNetwork": True, "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a.test"]}]},
        NODE_LINES,
        ("192.0.2.1\ta.test", *(line for line in Path("/etc/hosts").read_text().splitlines() if line)),
    ),
    "host-in-the-cluster": Case(
        "ClusterFirstWithHostNet is the cluster's there, too",
        {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
        CLUSTER_LINES,
    ),
    "alone": Case(
        "without a network there are names all the same",
        {"network": "None", "hostname": "hermit", "dnsPolicy": "None", "dnsConfig": ONE_SERVER},
        ["nameserver 192.0.2.99"],
        ("127.0.0.1\tlocalhost",),
        "hermit",
    ),
}


@pytest.fixture(name="found", scope="module")
def _found(home: Site) -> dict[str, Object]:
    """All cases, running side by side."""
    home.apply(*(instance(home, name, **case.spec) for name, case in CASES.items()))
    return dict(home.instances(all_ready(*CASES), 60))


def etc(site: Site, found: Object, name: str) -> str:
    """A file of /etc as a process in the instance sees it."""
    return Path(f"/proc/{pid(site, found)}/root/etc/{name}").read_text()


@pytest.mark.parametrize("name", CASES)
def test_names(home: Site, found: dict[str, Object], name: str) -> None:
    """Each case has its rule beside it."""
    case, seen = CASES[name], found[name]
    if case.resolver is not None:
        assert etc(home, seen, "resolv.conf").splitlines() == case.resolver, case.rule
    lines = etc(home, seen, "hosts").splitlines()
    for line in case.hosts:
        assert line.format(ip=seen["status"].get("ip")) in lines, case.rule
    hostname = case.hostname.format(name=name)
    if hostname:
        environment = Path(f"/proc/{pid(home, seen)}/environ").read_bytes().split(b"\0")
        assert etc(home, seen, "hostname") == f"{hostname}\n", case.rule
        assert f"HOSTNAME={hostname}".encode() in environment, case.rule
    elif case.spec.get("hostNetwork"):
        assert etc(home, seen, "hostname") == f"{socket.gethostname()}\n"


def test_a_full_name_that_linux_does_not_take_is_said(home: Site) -> None:
    """At most 64 characters with setHostnameAsFQDN; the instance waits for another spec, in words that tell the name."""
    spec = {"hostname": "h" * 40, "subdomain": "s" * 20, "setHostnameAsFQDN": True}
    home.apply(instance(home, "too-long", **spec))
    found = home.instances(lambda o: "too-long" in o and reason(o["too-long"]) == "CreateContainerConfigError")["too-long"]
    assert "characters, and Linux takes 64: choose a shorter hostname or subdomain" in message(found)
    remove(home, "too-long")


def test_a_change_of_names_reaches_the_container(home: Site) -> None:
    """In place, by a new container; the address stays."""
    home.apply(instance(home, "changing"))
    before = home.instances(all_ready("changing"))["changing"]
    home.apply(instance(home, "changing", hostAliases=[{"ip": "192.0.2.7", "hostnames": ["late.test"]}]))
    after = home.instances(lambda o: all_ready("changing")(o) and o["changing"]["status"]["restarts"] == 1)["changing"]
    assert "192.0.2.7\tlate.test" in etc(home, after, "hosts").splitlines()
    assert before["status"]["ip"] == after["status"]["ip"]
    remove(home, "changing")


def test_the_files_go_with_the_instance(home: Site, found: dict[str, Object]) -> None:
    """One folder for each, which all of its containers see; none is left of those that are gone."""
    home.apply(instance(home, "going"))
    going = home.instances(all_ready("going"))["going"]["metadata"]["uid"]

    def folders() -> set[str]:
        return {path.name for path in (home.state / "agent" / "files").iterdir()}

    assert folders() >= {going, *(o["metadata"]["uid"] for o in found.values())}
    remove(home, "going")
    assert going not in folders()
