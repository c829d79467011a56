"""Names of instances, and whom they ask for names: what the cases on a node do not reach."""

import os
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.decide.names import parse_resolv_conf, resolv_conf, resolver
from controller.agent.decide.observation import NodeFacts
from controller.agent.files import InstanceFiles
from controller.network.port import Resolver
from tests.unit.agent.values import NODE, UID, desired

NODES_OWN = Resolver(("192.0.2.53",), ("example.org",), ("ndots:2",))
OWN: dict[str, Any] = {"hostNetwork": False}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", Resolver()),
        ("# nameserver 1\n;nameserver 2\n nameserver 192.0.2.1 # why\n", Resolver(("192.0.2.1",))),
        ("nameserver\nnameserver 192.0.2.1\nnameserver 192.0.2.1", Resolver(("192.0.2.1", "192.0.2.1"))),
        ("search a b\nsearch c. .\n", Resolver((), ("c",))),
        ("options ndots:1 rotate\noptions ndots:3\n", Resolver((), (), ("ndots:3", "rotate"))),
        ("domain example.org\nsortlist 1\n", Resolver()),
    ],
)
def test_the_nodes_resolver_is_read_as_a_kubelet_reads_it(text: str, found: Resolver) -> None:
    """Servers accumulate, the last search counts, options by name; what else there may be is passed over."""
    assert parse_resolv_conf(text) == found


WORD = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=60)


@given(
    servers=st.lists(WORD, max_size=6),
    searches=st.lists(WORD | st.just("s" * 254), max_size=80),
    more=st.lists(WORD, max_size=32, unique=True),
    options=st.lists(st.tuples(WORD, WORD), max_size=4),
)
def test_whatever_is_merged_stays_within_the_limits(
    servers: list[str], searches: list[str], more: list[str], options: list[tuple[str, str]]
) -> None:
    """Three servers, 32 searches of at most 253 characters, 2048 in all; each once; and what is written is what is read."""
    config = {"searches": more, "options": [{"name": n, "value": v} for n, v in options]}
    instance = desired(dnsPolicy="Default", dnsConfig=config, **OWN).instance
    found = resolver(instance, NODE, Resolver(tuple(servers), tuple(searches)))
    assert len(found.servers) <= 3
    assert len(found.searches) == len(set(found.searches)) <= 32
    assert all(len(s) <= 253 for s in found.searches)
    assert len(" ".join(found.searches)) <= 2048
    assert found.searches == tuple(dict.fromkeys([*searches, *more]))[: len(found.searches)] or "s" * 254 in searches
    assert parse_resolv_conf(resolv_conf(found)) == found


def test_without_a_cluster_dns_the_nodes_own_is_asked() -> None:
    """ClusterFirst falls back to Default, as with a kubelet that knows of none."""
    instance = desired(**OWN).instance
    assert resolver(instance, NODE, NODES_OWN) == NODES_OWN
    known = NodeFacts("node1", cluster_dns=("10.96.0.10",), cluster_domain="")
    assert resolver(instance, known, NODES_OWN) == Resolver(("10.96.0.10",), ("example.org",), ("ndots:5",))


def test_a_resolver_on_loopback_is_looked_behind(tmp_path: Path) -> None:
    """systemd-resolved's stub is of no use in another network: whom it asks itself is asked. On the node's network it is."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "run/systemd/resolve").mkdir(parents=True)
    (tmp_path / "etc/stub.conf").write_text("nameserver 127.0.0.53\noptions edns0\n")
    (tmp_path / "etc/hosts").write_text("127.0.0.1 localhost\n")
    behind = tmp_path / "run/systemd/resolve/resolv.conf"
    files = InstanceFiles(NODE, root=lambda: str(tmp_path), resolv_conf="/etc/stub.conf")
    own, host = desired(**OWN).instance, desired().instance
    assert files.resolver(own).servers == ("127.0.0.53",)
    behind.write_text("nameserver 192.0.2.53\n")
    assert (files.resolver(own).servers, files.resolver(host).servers) == (("192.0.2.53",), ("127.0.0.53",))


def test_files_are_written_in_place_and_go(tmp_path: Path) -> None:
    """A running container has the file itself mounted: a new address reaches it. They are readable whatever the umask says."""
    files = InstanceFiles(NodeFacts("node1", files_dir=str(tmp_path / "files")), root=lambda: str(tmp_path))
    instance = desired(**OWN).instance
    files.refresh(instance, ["10.0.0.1"])
    assert files.uids() == set()
    files.write(instance, ["10.0.0.1"])
    hosts = tmp_path / "files" / UID / "hosts"
    before = hosts.stat()
    files.refresh(instance, ["10.0.0.2", "fd00::2"])
    assert (hosts.stat().st_ino, hosts.stat().st_mode & 0o777) == (before.st_ino, 0o644)
    assert hosts.read_text().splitlines()[-2:] == ["10.0.0.2\tweb", "fd00::2\tweb"]
    assert files.uids() == {UID}
    files.remove(UID)
    files.remove(UID)
    assert files.uids() == set()


def test_what_a_file_says_already_is_not_written_again(tmp_path: Path) -> None:
    """A process that reads it just then never finds it empty; what somebody wrote into it, or who may read it, is set right."""
    files = InstanceFiles(NodeFacts("node1", files_dir=str(tmp_path / "files")), root=lambda: str(tmp_path))
    instance = desired(**OWN).instance
    files.write(instance, ["10.0.0.1"])
    hosts = tmp_path / "files" / UID / "hosts"
    text = hosts.read_text()
    os.utime(hosts, (1, 1))
    files.write(instance, ["10.0.0.1"])
    assert hosts.stat().st_mtime == 1
    for damage in (text + "x", text[:-1], text.replace("web", "wob"), ""):
        hosts.write_text(damage)
        hosts.chmod(0o600)
        files.write(instance, ["10.0.0.1"])
        assert (hosts.read_text(), hosts.stat().st_mode & 0o777) == (text, 0o644)
