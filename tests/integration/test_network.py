"""Instances with a network of their own, on a real containerd: shared by their containers, loopback only, gone with them."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness import NAMESPACE, Objects, Site, ready, until_logged, workload

OWN = {"hostNetwork": False, "network": "None"}


def pair(site: Site, **containers: str) -> dict[str, Any]:
    """A workload of one instance whose containers run these scripts."""
    image = f"{site.registry.host}/busybox:1"
    listed = [{"name": name, "image": image, "command": ["sh", "-c", text]} for name, text in containers.items()]
    return workload("pair", site.registry, instance=OWN | {"containers": listed})


def all_ready(restarts: int = 0) -> Callable[[Objects], bool]:
    """Every instance is ready, with so many restarts."""

    def true(found: Objects) -> bool:
        return bool(found) and all(ready(o) and o["status"]["restarts"] == restarts for o in found.values())

    return true


def log(site: Site, container: str, attempt: int = 0) -> Path:
    """A container's log."""
    (path,) = (site.state / "containers").glob(f"*/{container}/{attempt}.log")
    return path


def networks(site: Site) -> set[int]:
    """Inodes of the network namespaces that our containers are in."""
    return {Path(f"/proc/{pid}/ns/net").stat().st_ino for pid in site.containers().values()}


SERVER = "trap 'exit 0' TERM; httpd -p 127.0.0.1:8080 -h /etc; while true; do sleep 1; done"
CLIENT = """\
trap 'exit 0' TERM
while ! wget -q -O /dev/null http://127.0.0.1:8080/passwd; do sleep 0.05; done
hostname; ip -o link | wc -l; ip route | wc -l; ls /etc/hosts /etc/resolv.conf 2>/dev/null | wc -l
nc -w 1 192.0.2.1 80 2>&1 </dev/null | grep -o 'unreachable'
echo reached; while true; do sleep 1; done"""


def test_containers_of_one_instance_share_a_network_of_their_own(site: Site) -> None:
    """They reach each other on 127.0.0.1 and nothing else; the host name is the instance's.

    A restart of a container, a restart of the agent, and an update all keep the namespace; the deletion leaves neither file nor
    mount (which the site looks for at every test's end, too).
    """
    asked = pair(site, server=SERVER, client=CLIENT)
    site.apply(asked)
    ((name, found),) = site.instances(all_ready()).items()
    assert found["status"].get("ip", "") == ""
    path = site.netns / found["metadata"]["uid"]
    inode = path.stat().st_ino
    assert networks(site) == {inode} != {Path("/proc/self/ns/net").stat().st_ino}
    until_logged(log(site, "client"), "reached\n")
    assert log(site, "client").read_text().splitlines() == [name, "1", "0", "2", "unreachable", "reached"]

    os.kill(next(iter(site.containers().values())), signal.SIGKILL)
    site.instances(all_ready(1))
    assert (path.stat().st_ino, networks(site)) == (inode, {inode})

    before = site.containers()
    site.agent.kill()
    site.agent.start()
    asked["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "NEW", "value": "1"}]
    site.apply(asked)
    site.instances(all_ready(2))
    assert (path.stat().st_ino, networks(site)) == (inode, {inode})
    assert len(set(site.containers().items()) & set(before.items())) == 1

    site.plane.kubectl("delete", "cw", "pair")
    site.instances(lambda o: not o)
    assert site.containers() == {}
    assert list(site.netns.iterdir()) == []


def test_a_network_that_cannot_be_made_is_told_and_made_as_soon_as_it_can_be(site: Site) -> None:
    """NetworkSetupFailed with the cause; when the cause has gone, the instance starts, and another one was never disturbed."""
    site.netns.touch()
    site.apply(workload("other", site.registry), pair(site, main="exec sleep 1000000"))
    found = site.instances(lambda o: _reasons(o) == {"Running", "NetworkSetupFailed"})
    failed = next(o for o in found.values() if o["metadata"]["name"].startswith("pair"))
    waiting = failed["status"]["containers"][0]["state"]["waiting"]
    assert (waiting["reason"], waiting["message"]) == ("NetworkSetupFailed", f"{site.netns}: File exists")
    site.netns.unlink()
    site.instances(lambda o: len(o) == 2 and all_ready()(o))


def _reasons(found: Objects) -> set[str]:
    return {c["reason"] for o in found.values() for c in o.get("status", {}).get("conditions", []) if c["type"] == "Ready"}


def test_an_instance_moves_between_networks(site: Site) -> None:
    """From its own to the node's and back: the container is replaced, and a network that is not used any more is removed."""
    site.apply(pair(site, main="exec sleep 1000000"))
    site.instances(all_ready())
    for spec, restarts in (({"hostNetwork": True}, 1), (OWN, 2)):
        asked = pair(site, main="exec sleep 1000000")
        instance = asked["spec"]["template"]["spec"]
        del instance["hostNetwork"], instance["network"]
        instance |= spec
        site.apply(asked)
        site.instances(all_ready(restarts))
        host = networks(site) == {Path("/proc/self/ns/net").stat().st_ino}
        assert host == (restarts == 1)
        assert list(site.netns.iterdir()) == [] or not host
    assert site.containerd.ctr("containers", "ls", "-q", namespace=NAMESPACE).stdout.split()
