"""Instances on the node's CNI network, with real plugins (kubernetes.io, "Cluster Networking", "Network Plugins")."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cni import Wire
from tests.harness import GROUP, Object, Objects, Site, condition, message, reason, workload
from tests.integration.semantics.network.world import SERVER, all_ready, inside, instance, pid, remove
from tests.waiting import eventually
from tools.lab import free_port

PLUGIN_SECONDS = 3
"""One of the plugins here is to hang."""


def answer(address: str, port: int) -> str:
    """What a server says to a client on the node; why it does not, otherwise."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}:{port}/index.html", timeout=3) as found:
            return str(found.read().decode().strip())
    except (urllib.error.URLError, OSError) as exc:
        return f"not reached: {exc}"


def written(path: Path) -> str:
    """What is in a file; nothing while it is not there."""
    return path.read_text() if path.exists() else ""


def test_instances_reach_each_other_by_the_address_in_their_status(home: Site, net: Wire) -> None:
    """Every one has an address of its own, which others and the node reach without translation; people see it in kubectl.

    kubernetes.io, "Cluster Networking": the Kubernetes network model.
    """
    home.apply(instance(home, "one", SERVER.format("hello", 8080)))
    one = home.instances(all_ready("one"))["one"]
    address = one["status"]["ip"]
    assert address in net.leased()
    assert one["status"]["ips"] == [address]
    home.apply(instance(home, "two", f"wget -q -O - http://{address}:8080/index.html > /tmp/got; exec sleep 1000000"))
    two = home.instances(all_ready("two"))["two"]
    got = Path(f"/proc/{pid(home, two)}/root/tmp/got")
    assert eventually(lambda: written(got), lambda text: text == "hello\n", 30) == "hello\n"
    assert answer(address, 8080) == "hello"
    assert address in home.plane.kubectl("get", "ci", "one", "-o", "wide").stdout
    remove(home, "one", "two")
    assert net.left() == []


def test_probes_come_to_the_address_of_the_instance(home: Site, net: Wire) -> None:
    """A server that listens on loopback alone cannot be reached by its clients, and is not ready.

    kubernetes.io, "Configure Liveness, Readiness and Startup Probes": a probe without `host` connects to the pod's IP.
    """
    probe = {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1}
    for name, where in (("open", "8080"), ("shut", "127.0.0.1:8080")):
        made = instance(home, name, SERVER.format(name, where))
        made["spec"]["containers"][0]["readinessProbe"] = probe
        home.apply(made)
    home.instances(all_ready("open"))
    shut = home.instances(lambda found: "refused" in message(found["shut"]))["shut"]
    assert reason(shut) == "ContainersNotReady"
    remove(home, "open", "shut")
    assert net.left() == []


def test_containers_of_an_instance_share_address_and_loopback(home: Site) -> None:
    """kubernetes.io, "Pods": containers in a pod share its network namespace, and find each other on localhost."""
    pair = instance(home, "pair", SERVER.format("shared", 8080))
    script = "while ! wget -q -O /tmp/got http://127.0.0.1:8080/index.html; do sleep 0.05; done; exec sleep 1000000"
    main = pair["spec"]["containers"][0]
    pair["spec"]["containers"].append(main | {"name": "side", "command": ["sh", "-c", script]})
    home.apply(pair)
    found = home.instances(all_ready("pair"))["pair"]
    spaces = [Path(f"/proc/{pid(home, found, name)}/ns/net").readlink() for name in ("main", "side")]
    assert spaces[0] == spaces[1] != Path("/proc/self/ns/net").readlink()
    got = Path(f"/proc/{pid(home, found, 'side')}/root/tmp/got")
    assert eventually(lambda: written(got), lambda text: text == "shared\n", 30) == "shared\n"
    remove(home, "pair")


def test_a_host_port_leads_to_the_container(home: Site) -> None:
    """By every address of the node, or by the one of hostIP alone (core/v1 `ContainerPort`); gone with the instance."""
    everywhere, here = free_port(), free_port()
    home.apply(
        instance(home, "all", SERVER.format("all", 80), ports=[{"containerPort": 80, "hostPort": everywhere}]),
        instance(
            home, "here", SERVER.format("here", 80), ports=[{"containerPort": 80, "hostPort": here, "hostIP": "127.0.0.1"}]
        ),
    )
    home.instances(all_ready("all", "here"))
    (node,) = home.api.objects(f"{GROUP}/runtimenodes").values()
    own = node["status"]["addresses"][0]["address"]
    assert eventually(lambda: answer("127.0.0.1", everywhere), lambda said: said == "all", 30) == "all"
    assert eventually(lambda: answer("127.0.0.1", here), lambda said: said == "here", 30) == "here"
    assert (answer(own, everywhere), answer(own, here)[:11]) == ("all", "not reached")
    remove(home, "all", "here")
    assert answer("127.0.0.1", everywhere).startswith("not reached")


def test_a_host_port_is_had_once_on_a_node(home: Site) -> None:
    """The manager places no second one there and says so; one that is written by hand waits, and gets it when it is free.

    kubernetes.io, "Configuration Best Practices": a hostPort limits where a pod can be scheduled.
    """
    port = [{"containerPort": 80, "hostPort": free_port()}]
    several = workload(
        "several",
        home.registry,
        replicas=2,
        container={"ports": port},
        instance={"hostNetwork": False},
    )
    home.apply(several)
    found = home.workloads(lambda o: reason(o["several"]) == "NoMatchingNode")["several"]
    assert (
        f"0/1 nodes are available: 1 node(s) didn't have free ports for the requested hostPort {port[0]['hostPort']}/TCP"
        in message(found)
    )
    (first,) = home.instances(lambda o: len(o) == 1 and reason(next(iter(o.values()))) == "Running").values()
    home.apply(instance(home, "by-hand", ports=port))
    waits = home.instances(lambda o: "by-hand" in o and reason(o["by-hand"]) == "NetworkSetupFailed")["by-hand"]
    assert f"of the node is taken by default/{first['metadata']['name']}" in message(waits)
    home.plane.kubectl("delete", "cw", "several", "--wait=false")
    home.instances(all_ready("by-hand"))
    remove(home, "by-hand")


def test_the_address_stays(home: Site, net: Wire) -> None:
    """Over a crash, a new agent and an update in place: the network is the instance's, not a container's."""
    home.apply(instance(home, "steady"))
    found = home.instances(all_ready("steady"))["steady"]
    address = found["status"]["ip"]
    os.kill(pid(home, found), signal.SIGKILL)
    home.instances(lambda o: all_ready("steady")(o) and o["steady"]["status"]["restarts"] == 1)
    home.agent.kill()
    home.agent.start()
    changed = instance(home, "steady")
    changed["spec"]["containers"][0]["env"] = [{"name": "NEW", "value": "1"}]
    home.apply(changed)
    found = home.instances(lambda o: all_ready("steady")(o) and o["steady"]["status"]["restarts"] == 2)["steady"]
    assert (found["status"]["ip"], net.leased()) == (address, {address})
    assert f"inet {address}/24" in inside(home, found, "ip", "-o", "address")
    remove(home, "steady")


def test_a_changed_init_container_keeps_address_and_volumes(home: Site, net: Wire) -> None:
    """It runs again, and the containers after it, in the same network and with what is in the volumes."""
    mounts = [{"name": "data", "mountPath": "/d"}]
    image = f"{home.registry.host}/busybox:1"

    def body(said: str) -> Object:
        first = {"name": "first", "image": image, "command": ["sh", "-c", f"echo {said} >> /d/log"], "volumeMounts": mounts}
        made = instance(home, "anew", initContainers=[first], volumes=[{"name": "data", "emptyDir": {}}])
        made["spec"]["containers"][0]["volumeMounts"] = mounts
        return made

    home.apply(body("one"))
    before = home.instances(all_ready("anew"))["anew"]
    home.apply(body("two"))
    after = home.instances(lambda o: all_ready("anew")(o) and o["anew"]["status"]["restarts"] == 1)["anew"]
    assert after["status"]["containers"][0]["containerID"] != before["status"]["containers"][0]["containerID"]
    assert (after["status"]["ip"], net.leased()) == (before["status"]["ip"], {before["status"]["ip"]})
    assert Path(f"/proc/{pid(home, after)}/root/d/log").read_text() == "one\ntwo\n"
    remove(home, "anew")


def test_a_restart_of_the_node_leaks_no_address(home: Site, net: Wire) -> None:
    """Processes, namespaces and rules are gone, files are not: the old address is given back before there is a new one."""
    home.apply(instance(home, "survivor"))
    found = home.instances(all_ready("survivor"))["survivor"]
    home.agent.stop()
    os.kill(pid(home, found), signal.SIGKILL)
    path = home.netns / found["metadata"]["uid"]
    subprocess.run(["umount", str(path)], check=True, timeout=10)
    path.unlink()
    for link in net.links():
        subprocess.run(["ip", "link", "del", link], check=False, capture_output=True, timeout=10)
    net.forget_rules()
    home.agent.start()
    found = home.instances(lambda o: all_ready("survivor")(o) and o["survivor"]["status"]["restarts"] == 1)["survivor"]
    assert net.leased() == {found["status"]["ip"]}
    remove(home, "survivor")


def test_what_has_ended_gives_its_address_and_ports_back(home: Site, net: Wire) -> None:
    """As a pod does whose phase is Succeeded; and the next agent attaches it no more."""
    port = free_port()
    ports = [{"containerPort": 8080, "hostPort": port}]
    home.apply(instance(home, "done", "true", restartPolicy="Never", ports=ports))
    done = home.instances(lambda o: "done" in o and o["done"].get("status", {}).get("phase") == "Succeeded")["done"]
    assert "ip" not in done["status"] or not done["status"]["ip"]
    assert not eventually(lambda: list(home.netns.iterdir()), lambda left: not left, 10)
    assert net.leased() == set()
    home.apply(instance(home, "next", SERVER.format("next", 8080), ports=ports))
    home.instances(all_ready("next"))
    assert eventually(lambda: answer("127.0.0.1", port), lambda text: text == "next", 10) == "next"
    home.agent.kill()
    home.agent.start()
    home.instances(all_ready("next"))
    remove(home, "next")
    assert list(home.netns.iterdir()) == []
    remove(home, "done")


def test_an_agent_that_is_killed_while_it_attaches_leaks_nothing(home: Site, net: Wire) -> None:
    """Between ADD and the start of the container: the next agent deletes what was begun, and makes it anew."""
    begun = net.folder / "begun"
    net.script("slow", f"""[ "$CNI_COMMAND" != ADD ] || {{ touch {begun}; exec sleep 60; }}""")
    net.configure({"type": "slow"})
    home.apply(instance(home, "cut-off"))
    assert eventually(begun.exists, bool, 30), "the plugin was not called"
    home.agent.kill()
    assert len(net.leased()) == 1
    net.configure()
    home.agent.start()
    found = home.instances(all_ready("cut-off"))["cut-off"]
    assert net.leased() == {found["status"]["ip"]}
    remove(home, "cut-off")


def test_a_plugin_that_hangs_is_told_and_holds_nobody_else_up(home: Site, net: Wire) -> None:
    """NetworkSetupFailed with the plugin's name; instances that need no network start meanwhile; when it is mended, all run."""
    net.script("bad", """[ "$CNI_COMMAND" != ADD ] || exec sleep 60""")
    net.configure({"type": "bad"})
    names = [f"stuck-{n}" for n in range(5)]
    home.apply(*(instance(home, name) for name in names))
    home.instances(lambda o: names[0] in o and bool(o[names[0]].get("status")))
    home.apply(instance(home, "free", hostNetwork=True))
    before = home.instances(all_ready("free"))
    assert not any(reason(before[name]) == "Running" for name in names)
    found = home.instances(lambda o: any(reason(o[name]) == "NetworkSetupFailed" for name in names))
    failed = next(o for o in found.values() if reason(o) == "NetworkSetupFailed")
    assert f"CNI plugin bad has not ended its ADD within {PLUGIN_SECONDS} s; it was killed" in message(failed)
    net.configure()
    home.instances(all_ready(*names), 40)
    remove(home, *names, "free")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo garbage", "CNI plugin bad succeeded at ADD, but it answered what is no JSON object: garbage"),
        (
            """echo '{"code": 7, "msg": "subnet too small"}'; exit 1""",
            "CNI plugin bad failed at ADD: subnet too small (code 7)",
        ),
    ],
)
def test_a_plugin_that_fails_is_told_in_its_own_words(home: Site, net: Wire, script: str, said: str) -> None:
    """On the status and as an Event; tried again after a back-off, and nothing of the failed try is left."""
    net.script("bad", f"""[ "$CNI_COMMAND" = ADD ] || exit 0\n{script}""")
    net.configure({"type": "bad"})
    home.apply(instance(home, "unlucky"))
    found = home.instances(lambda o: "unlucky" in o and reason(o["unlucky"]) == "NetworkSetupFailed")["unlucky"]
    assert said in message(found)
    net.configure()
    home.instances(all_ready("unlucky"))
    remove(home, "unlucky")
    assert net.left() == []


def test_a_node_without_a_network_says_so_and_still_runs_what_needs_none(home: Site, net: Wire) -> None:
    """Condition NetworkReady of the node, and the reason on each instance; a configuration that comes later is taken up."""
    kept = net.conf / "10-wire.conflist"
    kept.rename(net.folder / "kept")
    home.apply(instance(home, "waits"), instance(home, "host", hostNetwork=True), instance(home, "alone", network="None"))
    home.instances(all_ready("host", "alone"))
    waits = home.instances(lambda o: reason(o["waits"]) == "NetworkSetupFailed")["waits"]
    assert "the node has no CNI configuration: no *.conflist, *.conf or *.json in" in message(waits)
    (net.folder / "kept").rename(kept)
    home.instances(all_ready("waits"))
    remove(home, "waits", "host", "alone")


def test_limits_of_bandwidth_are_those_of_the_annotations(home: Site, net: Wire) -> None:
    """kubernetes.io, "Network Plugins", on traffic shaping: ingress is what the pod receives. What is no quantity is said."""
    notes = {"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "8M"}
    home.apply(
        instance(home, "slow", annotations=notes), instance(home, "odd", annotations=notes | {next(iter(notes)): "fast"})
    )
    found = home.instances(lambda o: all_ready("slow")(o) and reason(o["odd"]) == "NetworkSetupFailed")
    (link,) = net.links()
    shown = subprocess.run(["tc", "qdisc", "show", "dev", link], capture_output=True, text=True, check=True, timeout=10)
    assert "rate 10Mbit" in shown.stdout
    assert "annotation kubernetes.io/ingress-bandwidth: 'fast' is no quantity of bits per second" in message(found["odd"])
    remove(home, "slow", "odd")


def test_an_instance_moves_between_networks(home: Site, net: Wire) -> None:
    """From the node's network to its own, to loopback only, and back: in place, and nothing of the former one is left."""
    home.apply(instance(home, "mover", hostNetwork=True))
    home.instances(all_ready("mover"))
    moves: list[tuple[Object, int]] = [({}, 1), ({"network": "None"}, 0), ({"hostNetwork": True}, 0)]
    for restarts, (spec, addresses) in enumerate(moves, 1):
        changed = instance(home, "mover", **spec)
        home.apply(changed)

        def moved(found: Objects, restarts: int = restarts) -> bool:
            return all_ready("mover")(found) and found["mover"]["status"]["restarts"] == restarts

        found = home.instances(moved)["mover"]
        assert len(net.leased()) == addresses
        assert len(found["status"].get("ips", [])) == (1 if addresses or restarts == 3 else 0)
    remove(home, "mover")
    assert list(home.netns.iterdir()) == []


INVALID = [
    ({"network": "None", "ports": [{"containerPort": 80, "hostPort": 80}]}, "network: None leads nowhere"),
    ({"hostNetwork": True, "ports": [{"containerPort": 80, "hostPort": 81}]}, "make both the same, or remove hostPort"),
    ({"ports": [{"containerPort": 80, "hostPort": 65536}]}, "less than or equal to 65535"),
    ({"ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "here"}]}, "must be an IPv4 or IPv6 address of the node"),
    ({"dnsPolicy": "None"}, "give at least one in dnsConfig.nameservers"),
    ({"dnsPolicy": "None", "dnsConfig": {"searches": ["a"]}}, "give at least one in dnsConfig.nameservers"),
    ({"dnsPolicy": "Sometimes"}, "Unsupported value"),
    ({"dnsConfig": {"nameservers": ["dns.example.org"]}}, "must be an IPv4 or IPv6 address"),
    ({"dnsConfig": {"nameservers": [f"192.0.2.{n}" for n in range(4)]}}, "must have at most 3 items"),
    ({"dnsConfig": {"searches": ["a b"]}}, "searches[0]"),
    ({"dnsConfig": {"options": [{"value": "5"}]}}, "options[0].name: Required value"),
    ({"hostname": "a.b"}, "spec.hostname"),
    ({"subdomain": "-"}, "spec.subdomain"),
    ({"hostAliases": [{"ip": "x", "hostnames": ["a"]}]}, "must be an IPv4 or IPv6 address"),
    ({"hostAliases": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.1"}]}, "Duplicate value"),
    ({"hostAliases": [{"ip": "192.0.2.1", "hostnames": ["_"]}]}, "hostnames[0]"),
]


@pytest.mark.parametrize(("spec", "said"), INVALID)
def test_what_cannot_be_is_refused_at_apply(home: Site, spec: dict[str, Any], said: str) -> None:
    """The rules of core/v1 (pkg/apis/core/validation), by the API server, in words that name the field."""
    body = instance(home, "invalid", **spec)
    told = home.plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=as_json(body), check=False)
    assert said in told.stderr, told


def as_json(body: Object) -> str:
    """As kubectl reads it."""
    return json.dumps(body)


def test_the_node_tells_whether_it_can_attach(home: Site) -> None:
    """Condition NetworkReady on the RuntimeNode."""
    (node,) = home.api.until(
        f"{GROUP}/runtimenodes",
        lambda found: all(condition(o, "NetworkReady").get("status") == "True" for o in found.values()),
    ).values()
    assert condition(node, "NetworkReady")["reason"] == "NetworkReady"
