"""Networks attached by real CNI plugins, in the words of the port: what is there, what is gone, and what a fault leaves."""

import asyncio
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.api.hostports import HostPort
from controller.network.attached import AttachedNetworks, CniSettings
from controller.network.namespaces import Namespaces
from controller.network.node import behind
from controller.network.port import NetworkFailure, NetworkRequest, NetworkState, Resolver
from tests.cni import PASS_ON, Wire, run, try_to, wire
from tests.threads import namespaces
from tests.waiting import eventually

ABSENT, BROKEN, READY = NetworkState.ABSENT, NetworkState.BROKEN, NetworkState.READY
A, B = "6f1c1f0e-0000-4000-8000-00000000000a", "6f1c1f0e-0000-4000-8000-00000000000b"
PLAIN = NetworkRequest(attached=True, owner="default/a")
OTHER = NetworkRequest(attached=True, owner="default/b")
ALONE = NetworkRequest()


class Node:
    """A node with a network."""

    def __init__(self, folder: Path, net: Wire) -> None:
        self.folder, self.net = folder, net

    def agent(self, seconds: float = 10.0, *, collect: bool = False) -> AttachedNetworks:
        """Its networks, as an agent has them that has just started."""
        settings = CniSettings(self.net.conf, self.net.bin, seconds, collect)
        found = AttachedNetworks(Namespaces(str(self.folder / "netns")), self.folder / "records", settings)
        found.load()
        return found

    def inside(self, uid: str, *command: str) -> str:
        """What a command says in an instance's network."""
        return run("nsenter", f"--net={self.folder / 'netns' / uid}", *command)

    def reboot(self) -> None:
        """No namespace outlives it, nor anything else that only the kernel has; files stay, but for those of /run."""
        for path in (self.folder / "netns").glob("*"):
            run("umount", str(path))
            path.unlink()
        for link in self.net.links():
            try_to("ip", "link", "del", link)  # unless the kernel has, as the other end went with its namespace
        assert not eventually(self.net.links, lambda left: not left)
        self.net.forget_rules()

    def records(self) -> list[str]:
        """What is kept of attachments."""
        return sorted(p.name for p in (self.folder / "records").glob("*"))


@pytest.fixture(name="node")
def _node(tmp_path: Path) -> Iterator[Node]:
    with wire(tmp_path / "cni", 1) as net:
        node = Node(tmp_path, net)
        try:
            yield node
        finally:
            for line in Path("/proc/self/mountinfo").read_text().splitlines():
                if f" {tmp_path}/netns/" in line:
                    run("umount", line.split()[4])


async def test_an_instance_is_attached_until_it_is_removed(node: Node) -> None:
    """Address and route are inside, the next agent knows the address; removal leaves no lease, link, rule, record or file."""
    networks = node.agent()
    await networks.create(A, PLAIN)
    (address,) = networks.addresses(A)
    assert networks.state(A, PLAIN) is READY
    assert f"inet {address}/24" in node.inside(A, "ip", "-o", "address", "show", "eth0")
    assert f"default via {node.net.subnet}1" in node.inside(A, "ip", "route")
    again = node.agent()
    assert (again.state(A, PLAIN), again.addresses(A), again.uids()) == (READY, (address,), frozenset({A}))
    await again.create(A, PLAIN)
    assert again.addresses(A) == (address,)
    await again.remove(A)
    assert (again.state(A), again.addresses(A), again.uids()) == (ABSENT, (), frozenset())
    assert (node.net.left(), node.records()) == ([], [])


async def test_instances_reach_each_other_and_the_node(node: Node) -> None:
    """On one bridge, each with an address of its own."""
    networks = node.agent()
    await asyncio.gather(networks.create(A, PLAIN), networks.create(B, OTHER))
    (one,), (two,) = networks.addresses(A), networks.addresses(B)
    assert one != two
    for where, who in ((A, two), (B, one), (A, f"{node.net.subnet}1")):
        node.inside(where, "busybox", "ping", "-c", "1", "-W", "2", who)
    await asyncio.gather(networks.remove(A), networks.remove(B))


async def test_what_is_asked_for_may_change(node: Node) -> None:
    """From loopback only to attached and back, and to other ports; the namespace stays the same."""
    networks = node.agent()
    await networks.create(A, ALONE)
    inode = (node.folder / "netns" / A).stat().st_ino
    assert networks.state(A, PLAIN) is BROKEN
    await networks.create(A, PLAIN)
    assert "eth0" in node.inside(A, "ip", "-o", "link")
    mapped = NetworkRequest(attached=True, ports=(HostPort(18080, 80),), owner="default/a")
    assert networks.state(A, mapped) is BROKEN
    await networks.create(A, mapped)
    assert networks.state(A, mapped) is READY
    assert any("18080" in line for line in run("iptables-save").splitlines())
    await networks.create(A, ALONE)
    assert "eth0" not in node.inside(A, "ip", "-o", "link")
    assert (networks.state(A, ALONE), networks.addresses(A), node.net.left()) == (READY, (), [])
    assert not any("18080" in line for line in run("iptables-save").splitlines())
    assert (node.folder / "netns" / A).stat().st_ino == inode
    await networks.remove(A)


async def test_a_restart_of_the_node_leaves_no_address_allocated(node: Node) -> None:
    """Namespaces are gone, leases are still there: the record says what has to be deleted before anything is made anew."""
    networks = node.agent()
    await networks.create(A, PLAIN)
    await networks.create(B, OTHER)
    node.reboot()
    assert len(node.net.leased()) == 2
    after = node.agent()
    assert (after.state(A, PLAIN), after.state(B), after.addresses(A)) == (BROKEN, BROKEN, networks.addresses(A))
    await after.create(A, PLAIN)
    await after.remove(B)
    assert node.net.leased() == set(after.addresses(A))
    assert f"inet {after.addresses(A)[0]}/" in node.inside(A, "ip", "-o", "address")
    await after.remove(A)


async def test_a_namespace_that_was_unmounted_is_detached_and_made_anew(node: Node) -> None:
    """DEL also when the namespace is gone; and a new one is never taken for the attached one.

    The bridge plugin then does not find its masquerading rule again, so that this network has none.
    """
    node.net.configure(masquerade=False)
    networks = node.agent()
    await networks.create(A, PLAIN)
    run("umount", str(node.folder / "netns" / A))
    assert networks.state(A, PLAIN) is BROKEN
    await networks.create(A, PLAIN)
    assert node.net.leased() == set(networks.addresses(A))
    assert f"inet {networks.addresses(A)[0]}/" in node.inside(A, "ip", "-o", "address")
    await networks.remove(A)


async def test_the_configuration_of_add_is_the_one_of_del(node: Node) -> None:
    """Somebody changes the configuration, or removes it: what was attached by the old one is deleted by the old one."""
    networks = node.agent()
    await networks.create(A, PLAIN)
    (node.net.conf / "10-wire.conflist").write_text(
        json.dumps({"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "y"}]})
    )
    await node.agent().remove(A)
    assert node.net.left() == []


async def test_a_version_that_a_plugin_does_not_speak_is_said_and_leaves_nothing(node: Node) -> None:
    """The firewall plugin begins with 0.4.0: it can do neither ADD nor DEL, and the plugins before it are undone."""
    node.net.configure(version="0.3.1")
    networks = node.agent()
    with pytest.raises(NetworkFailure, match=r'firewall failed at ADD: incompatible CNI versions: config is "0.3.1"'):
        await networks.create(A, PLAIN)
    assert (node.net.left(), node.records()) == ([], [])
    await networks.remove(A)


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
async def test_all_versions_with_chains_are_spoken(node: Node, version: str) -> None:
    """ADD, CHECK and DEL by each version of the specification that real configurations have."""
    node.net.configure(version=version)
    networks = node.agent()
    await networks.create(A, PLAIN)
    assert len(networks.addresses(A)) == 1
    assert await networks.check() == []
    await networks.remove(A)
    assert node.net.left() == []


async def test_a_configuration_of_one_plugin_will_do(node: Node) -> None:
    """The old form, `.conf`; and it comes first by its name."""
    ipam = {"type": "host-local", "dataDir": str(node.net.folder / "ipam"), "subnet": f"{node.net.subnet}0/24"}
    plain = {"cniVersion": "0.4.0", "name": "wire", "type": "bridge", "bridge": node.net.bridge, "ipam": ipam}
    (node.net.conf / "05-plain.conf").write_text(json.dumps(plain))
    networks = node.agent()
    await networks.create(A, PLAIN)
    assert node.net.leased() == set(networks.addresses(A))
    await networks.remove(A)


async def test_limits_of_bandwidth_reach_the_plugin(node: Node) -> None:
    """As a token bucket on the node's side of the link, with the rate of the annotation."""
    networks = node.agent()
    await networks.create(A, NetworkRequest(attached=True, ingress_bandwidth="10M", egress_bandwidth="8M", owner="default/a"))
    (link,) = node.net.links()
    assert "rate 10Mbit" in run("tc", "qdisc", "show", "dev", link)
    shaper = re.search(r"\bbwp\w+", run("tc", "filter", "show", "dev", link, "ingress"))
    assert shaper, "what the link receives goes through no device of the plugin"
    assert "rate 8Mbit" in run("tc", "qdisc", "show", "dev", shaper[0])
    await networks.remove(A)
    assert not Path("/sys/class/net", shaper[0]).exists()


# --- what plugins are told, and what they do not see


async def test_a_plugin_is_told_what_the_specification_says_and_nothing_else(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment is the specification's and a PATH: no kubeconfig, no proxy, no token of the agent."""
    monkeypatch.setenv("KUBECONFIG", "/secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy")
    seen = node.net.folder / "seen"
    node.net.script("spy", f"env > {seen}.$CNI_COMMAND; tee {seen}.$CNI_COMMAND.json | {PASS_ON}")
    node.net.configure({"type": "spy", "capabilities": {"dns": True, "mac": True}, "flag": [1]}, version="1.1.0")
    networks = node.agent()
    await networks.create(
        A, NetworkRequest(attached=True, dns=Resolver(("10.0.0.10",), ("a.b",), ("ndots:5",)), owner="default/a")
    )
    told = dict(line.split("=", 1) for line in Path(f"{seen}.ADD").read_text().splitlines())
    assert told.pop("PWD", "/") == "/"
    for of_the_shell in ("OLDPWD", "SHLVL", "_"):
        told.pop(of_the_shell, None)
    assert told == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": A,
        "CNI_NETNS": str(node.folder / "netns" / A),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(node.net.bin),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    given = json.loads(Path(f"{seen}.ADD.json").read_text())
    assert (given["name"], given["cniVersion"], given["type"], given["flag"]) == ("wire", "1.1.0", "spy", [1])
    assert given["runtimeConfig"] == {"dns": {"servers": ["10.0.0.10"], "searches": ["a.b"], "options": ["ndots:5"]}}
    assert "capabilities" not in given
    assert given["prevResult"]["ips"][0]["address"].startswith(node.net.subnet)
    await networks.remove(A)
    assert json.loads(Path(f"{seen}.DEL.json").read_text())["prevResult"] == given["prevResult"]


async def test_garbage_is_collected_only_where_that_is_allowed(node: Node) -> None:
    """GC names what exists; without leave, or by a configuration that forbids it, no plugin is asked."""
    seen = node.net.folder / "seen"
    node.net.script("spy", f"tee {seen}.$CNI_COMMAND | {PASS_ON}")
    node.net.configure({"type": "spy"}, version="1.1.0")
    networks = node.agent(collect=True)
    await networks.create(A, PLAIN)
    await node.agent().collect()
    assert not Path(f"{seen}.GC").exists()
    await networks.collect()
    told = json.loads(Path(f"{seen}.GC").read_text())
    assert told["cni.dev/valid-attachments"] == [{"containerID": A, "ifname": "eth0"}]
    Path(f"{seen}.GC").unlink()
    node.net.configure({"type": "spy"}, version="1.1.0", disableGC=True)
    await networks.collect()
    assert not Path(f"{seen}.GC").exists()
    await networks.remove(A)


async def test_a_plugin_that_cannot_attach_says_so_beforehand(node: Node) -> None:
    """STATUS, from version 1.1 on; before, and when it is content, nothing is in the way."""
    node.net.script(
        "moody", """[ "$CNI_COMMAND" != STATUS ] || { echo '{"code": 50, "msg": "no address is left"}'; exit 1; }; echo '{}'"""
    )
    for version, trouble in (("1.0.0", ""), ("1.1.0", "CNI plugin moody failed at STATUS: no address is left (code 50)")):
        node.net.configure({"type": "moody"}, version=version)
        networks = node.agent()
        await networks.ask()
        assert networks.trouble() == trouble


@pytest.fixture(name="host")
def _host(node: Node) -> Iterator[tuple[Path, str]]:
    """A folder of plugins that only one process sees, and that process's folder in /proc; it sees the namespaces made here."""
    hidden, netns = node.net.folder / "hidden", node.folder / "netns"
    hidden.mkdir()
    netns.mkdir()
    run("mount", "--bind", str(netns), str(netns))
    run("mount", "--make-shared", str(netns))
    script = f"mount -t tmpfs none {hidden} && cp -L {node.net.bin}/* {hidden} && echo ready && read x"
    command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"ready\n"
            yield hidden, f"/proc/{other.pid}"
            other.communicate(b"\n", timeout=10)
    finally:
        run("umount", str(netns))


async def test_plugins_run_among_the_files_of_the_node(node: Node, host: tuple[Path, str]) -> None:
    """An agent in a container runs them in the mount namespace of the node's runtime; it stays itself where it is."""
    hidden, process = host
    before = str(Path("/proc/self/ns/mnt").readlink())
    settings = CniSettings(node.net.conf, hidden, process=lambda: process)
    networks = AttachedNetworks(Namespaces(str(node.folder / "netns")), node.folder / "records", settings)
    assert list(hidden.iterdir()) == []
    await networks.create(A, PLAIN)
    assert node.net.leased() == set(networks.addresses(A))
    assert await networks.check() == []
    await networks.remove(A)
    assert namespaces("mnt") == {before}
    node.net.configure({"type": "nowhere"})
    with pytest.raises(NetworkFailure, match="CNI plugin nowhere is not in"):
        await networks.create(A, PLAIN)
    await networks.remove(A)


def test_the_process_behind_a_socket_is_known(tmp_path: Path) -> None:
    """By the kernel's word; when nobody is behind it, the node's first process takes its place."""
    path = str(tmp_path / "s")
    assert behind(path) == "/proc/1"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        assert behind(path) == f"/proc/{os.getpid()}"


# --- faults

FAULTS = [
    ("hangs", "exec sleep 60", "CNI plugin bad has not ended its ADD within 0.5 s; it was killed"),
    ("hangs with a child", "sleep 60 & wait", "CNI plugin bad has not ended its ADD within 0.5 s; it was killed"),
    ("prints garbage", "echo hello; exit 0", "CNI plugin bad succeeded at ADD, but it answered what is no JSON object: hello"),
    ("prints nothing", "exit 0", "it answered what is no JSON object: nothing"),
    ("prints another shape", """echo '{"ips": [{"address": "1.2.3"}]}'""", "an address of its result is none"),
    ("prints without end", "yes | head -c 100000000", "it answered what is no JSON object: y y y"),
    (
        "fails as CNI has it",
        """echo '{"code": 7, "msg": "bad", "details": "subnet too small"}'; exit 1""",
        "ADD: bad: subnet too small (code 7)",
    ),
    (
        "fails on the other stream",
        """echo '{"code": 11, "msg": "later"}' >&2; exit 1""",
        "CNI plugin bad failed at ADD: later (code 11)",
    ),
    ("fails in words", "echo oh no >&2; exit 3", "with exit code 3 and no error as CNI has it, but: oh no"),
    ("is killed", "kill -9 $$", "with exit code -9 and no error as CNI has it, but: nothing"),
]


@pytest.mark.parametrize(("script", "said"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
async def test_a_plugin_that_fails_is_named_and_leaves_nothing(node: Node, script: str, said: str) -> None:
    """The failure has words of its own; what the plugins before it have made is undone; and when it is mended, it works."""
    bad = f"""[ "$CNI_COMMAND" = ADD ] || exit 0\n{script}"""
    node.net.script("bad", bad)
    node.net.configure({"type": "bad"})
    networks = node.agent(0.5 if "within 0.5 s" in said else 10)
    with pytest.raises(NetworkFailure) as failure:
        await networks.create(A, PLAIN)
    assert said in str(failure.value)
    assert (node.net.left(), node.records()) == ([], [])
    assert networks.state(A, PLAIN) is BROKEN
    node.net.configure()
    await node.agent().create(A, PLAIN)
    await node.agent().remove(A)


async def test_what_cannot_be_undone_at_once_is_undone_later(node: Node) -> None:
    """ADD and the DEL after it fail, and so does that of the next agent: the record stays until a DEL has succeeded."""
    node.net.script("bad", "exit 1")
    node.net.configure({"type": "bad"})
    with pytest.raises(NetworkFailure, match="failed at ADD"):
        await node.agent().create(A, PLAIN)
    assert (len(node.net.leased()), node.agent().state(A)) == (1, BROKEN)
    with pytest.raises(NetworkFailure, match="failed at DEL"):
        await node.agent().remove(A)
    assert node.records() == [f"{A}.json"]
    node.net.script("bad", "exit 0")
    await node.agent().remove(A)
    assert (node.net.left(), node.records()) == ([], [])


async def test_an_agent_that_is_killed_in_the_middle_leaves_nothing_for_ever(node: Node) -> None:
    """The record is there before the first plugin: what was begun is deleted, then made anew."""
    node.net.script("slow", """[ "$CNI_COMMAND" = DEL ] || { touch ${0%/*}/../begun; exec sleep 60; }""")
    node.net.configure({"type": "slow"})
    making = asyncio.create_task(node.agent(60.0).create(A, PLAIN))
    while not (node.net.folder / "begun").exists():
        await asyncio.sleep(0.01)
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    assert len(node.net.leased()) == 1
    after = node.agent()
    assert (after.state(A, PLAIN), after.addresses(A)) == (BROKEN, ())
    with pytest.raises(NetworkFailure, match=r"failed at ADD|within"):
        await node.agent(0.5).create(A, PLAIN)
    node.net.configure()
    await after.remove(A)


async def test_a_plugin_that_is_not_there_is_said(node: Node) -> None:
    """In words that tell where it has to be."""
    node.net.configure({"type": "nowhere"})
    networks = node.agent()
    with pytest.raises(NetworkFailure, match=r"CNI plugin nowhere is not in \S+/bin of the node: install it there"):
        await networks.create(A, PLAIN)
    (node.net.bin / "nowhere").write_text("")
    assert (node.net.left(), node.records()) == ([], [])
    with pytest.raises(NetworkFailure, match=r"nowhere cannot be run: Permission denied"):
        await networks.create(A, PLAIN)
    node.net.script("nowhere", "exit 0")
    await networks.remove(A)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"the node has no CNI configuration: no \*\.conflist, \*\.conf or \*\.json in \S+/net\.d: install a network"),
        ({"a.conflist": "{"}, r"no valid CNI configuration in \S+/net\.d \(a\.conflist: it is no JSON"),
        ({"a.conflist": "{}", "README": "x"}, r"\(a\.conflist: `name` must be"),
    ],
)
async def test_a_node_without_a_network_says_what_is_missing(node: Node, files: dict[str, str], said: str) -> None:
    """Attached instances wait, with the reason; those with loopback only need nothing. Once there is one, it is used."""
    (node.net.conf / "10-wire.conflist").unlink()
    for name, text in files.items():
        (node.net.conf / name).write_text(text)
    networks = node.agent()
    with pytest.raises(NetworkFailure, match=said):
        await networks.create(A, PLAIN)
    assert networks.trouble()
    await networks.create(B, ALONE)
    node.net.configure()
    assert networks.trouble() == ""
    await networks.create(A, PLAIN)
    await networks.remove(A)
    await networks.remove(B)


async def test_a_port_of_the_node_is_had_once(node: Node) -> None:
    """The later instance waits, and is told who has it; when that one has gone, it gets it."""
    networks = node.agent()
    ports = (HostPort(18081, 80),)
    one = NetworkRequest(attached=True, ports=ports, owner="default/a")
    two = NetworkRequest(attached=True, ports=ports, owner="default/b")
    await networks.create(A, one)
    with pytest.raises(NetworkFailure, match="port 18081/TCP of the node is taken by default/a"):
        await networks.create(B, two)
    await networks.remove(A)
    await networks.create(B, two)
    await networks.remove(B)


async def test_what_no_plugin_can_do_is_refused(node: Node) -> None:
    """A hostPort or a limit that the node's network cannot have is said, and never silently left out."""
    node.net.configure()
    text = json.loads((node.net.conf / "10-wire.conflist").read_text())
    text["plugins"] = text["plugins"][:1]
    (node.net.conf / "10-wire.conflist").write_text(json.dumps(text))
    networks = node.agent()
    with pytest.raises(
        NetworkFailure, match="asks for a hostPort, and no plugin of the node's network 'wire' has the capability"
    ):
        await networks.create(A, NetworkRequest(attached=True, ports=(HostPort(1, 1),)))
    with pytest.raises(NetworkFailure, match="add the plugin bandwidth to its configuration"):
        await networks.create(A, NetworkRequest(attached=True, ingress_bandwidth="1M"))
    await networks.remove(A)


# --- CHECK


async def test_an_attachment_that_broke_is_noticed_and_made_anew(node: Node) -> None:
    """An interface was removed by hand: CHECK finds it, and the next `create` makes it as it was asked for."""
    node.net.configure(masquerade=False)
    networks = node.agent()
    await networks.create(A, PLAIN)
    assert await networks.check() == []
    node.inside(A, "ip", "link", "del", "eth0")
    assert await node.agent().check() == [A]
    after = node.agent()
    assert after.state(A, PLAIN) is BROKEN
    await after.create(A, PLAIN)
    assert node.net.leased() == set(after.addresses(A))
    assert await after.check() == []
    await after.remove(A)


async def test_a_del_that_fails_for_ever_is_tried_without_the_namespace(node: Node) -> None:
    """Some plugins never get over what is missing in it: the address and the instance's deletion do not hang on that."""
    node.net.script("stubborn", f"""[ "$CNI_COMMAND" = DEL ] && [ -n "$CNI_NETNS" ] && exit 1\n{PASS_ON}""")
    node.net.configure({"type": "stubborn"}, masquerade=False)
    networks = node.agent()
    await networks.create(A, PLAIN)
    for _ in range(3):
        with pytest.raises(NetworkFailure, match="stubborn failed at DEL"):
            await networks.remove(A)
    assert len(node.net.leased()) == 1
    await networks.remove(A)
    assert (node.net.leased(), node.records(), networks.uids()) == (set(), [], frozenset())


async def test_a_del_that_is_late_again_and_again_still_gets_its_namespace(node: Node) -> None:
    """On a busy node a plugin may need more than its deadline; without the namespace it would leave its rules behind."""
    node.net.script("slow", f"""[ "$CNI_COMMAND" = DEL ] && [ ! -e "${{0%/*}}/../idle" ] && exec sleep 60\n{PASS_ON}""")
    node.net.configure({"type": "slow"})
    await node.agent().create(A, PLAIN)
    networks = node.agent(1.0)
    for _ in range(4):
        with pytest.raises(NetworkFailure, match="slow has not ended its DEL within"):
            await networks.remove(A)
    assert len(node.net.leased()) == 1
    (node.net.folder / "idle").touch()
    while networks.uids():
        try:
            await networks.remove(A)
        except NetworkFailure as exc:
            assert "has not ended" in str(exc)  # noqa: PT017 - where the machine is busy the real ones may be late, too
    assert (node.net.left(), node.records()) == ([], [])


async def test_a_plugin_that_always_complains_is_not_believed(node: Node) -> None:
    """Its CHECK was never content with this attachment, so that it complains says nothing."""
    node.net.script("grumpy", """[ "$CNI_COMMAND" != CHECK ] || exit 1\n""" + PASS_ON)
    node.net.configure({"type": "grumpy"})
    networks = node.agent()
    await networks.create(A, PLAIN)
    assert await networks.check() == []
    assert networks.state(A, PLAIN) is READY
    await networks.remove(A)


async def test_a_record_that_cannot_be_written_attaches_nothing(node: Node) -> None:
    """A full or broken disk: better no address than one that nobody remembers."""
    (node.folder / "records").write_text("")
    networks = node.agent()
    with pytest.raises(NetworkFailure, match="the record of its network cannot be written, so nothing is done to it"):
        await networks.create(A, PLAIN)
    assert node.net.left() == []
    (node.folder / "records").unlink()
    await networks.remove(A)
