"""Every field at once: what works alone must also work together."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.instance import ContainerInstanceSpec
from tests import service_accounts
from tests.cni import wire
from tests.harness import NAMESPACE, Site, ready, started
from tests.integration.semantics.fields import of_manifest, of_models
from tests.integration.semantics.volumes.host import host_folder
from tests.private import GOOD, docker_config
from tools.build import BIN
from tools.lab import Containerd, ControlPlane, Registry

MANIFEST = Path(__file__).with_name("everything.yaml")
PROFILE = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}

EXCLUDED = {
    "ContainerInstanceSpec.hostNetwork": "the node's network excludes an own one, which more fields are about",
    "ContainerInstanceSpec.network": "None excludes the network that is attached, and with it hostPort",
    "ContainerInstanceSpec.hostPID": "the node's process ids exclude those that containers share",
    "ContainerInstanceSpec.suspend": "with it nothing runs",
    "Container.suspend": "with it a container does not run, and the instance is not ready",
    **{
        f"{kind}.hugepages-{size}": "a node without huge pages refuses them, and few machines have some"
        for kind in ("ResourceList", "ResourceLimits")
        for size in ("64Ki", "2Mi", "32Mi", "1Gi")
    },
}
"""Fields that cannot be set together with the others, and why."""

OBJECTS = (
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "everything"}, "data": {"colour": "blue"}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "everything"}, "stringData": {"token": "hidden"}},
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "registries"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": docker_config("registry.test", GOOD)},
    },
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "everything"}},
    {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "everything"}, "handler": "everything"},
)
"""What the manifest refers to."""


def manifest(**words: str) -> dict[str, Any]:
    """The spec, with words replaced."""
    text = MANIFEST.read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_every_field_is_set() -> None:
    """Of the models themselves: a field that is added is missed here until the manifest sets it, or says why it cannot."""
    known = dict.fromkeys(of_models(ContainerInstanceSpec))
    given = set(of_manifest(manifest(), ContainerInstanceSpec))
    missing = [field for field in known if field not in given and field not in EXCLUDED]
    assert not missing, f"set them in {MANIFEST.name}, or say in EXCLUDED why that cannot be: {missing}"
    assert not [field for field in EXCLUDED if field not in known or field in given], "excluded, and yet set or no field"


@pytest.fixture(scope="module")
def home(
    plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """An installation on a network of its own; at its end, nothing may be left on the node."""
    folder = tmp_path_factory.mktemp("everything")
    (folder / "host").mkdir()
    with wire(folder / "net", 9) as net, host_folder(folder / "host"):
        options = [*net.options, f"--runtime-handler=everything=io.containerd.runc.v2,BinaryName={BIN / 'runc'}"]
        site = Site(plane, containerd, registry, folder / "s", "everything1", options)
        profiles = site.state / "agent" / "seccomp"
        profiles.mkdir(parents=True)
        (profiles / "everything.json").write_text(json.dumps(PROFILE))
        with started(site), service_accounts.allowed(plane), objects(plane):
            yield site


@contextmanager
def objects(plane: ControlPlane) -> Iterator[None]:
    """What the manifest refers to, for as long as the block runs."""
    text = yaml.safe_dump_all(OBJECTS)
    plane.kubectl("apply", "--filename", "-", stdin=text)
    try:
        yield
    finally:
        plane.kubectl("delete", "--wait=false", "--filename", "-", stdin=text)


def test_it_runs(home: Site) -> None:
    """Each container is ready, none was restarted; what one field does is not undone by another."""
    port = home.plane.url.rpartition(":")[2]
    words = {
        "NODE": home.node,
        "REGISTRY": home.registry.host,
        "APISERVER": port,
        "FOLDER": str(home.state.parent / "host" / "shared"),
    }
    about = {"name": "everything", "namespace": "default", "labels": {"app": "everything"}}
    kind = {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerInstance"}
    home.apply({**kind, "metadata": about, "spec": manifest(**words)})
    found = home.instances(lambda known: "everything" in known and ready(known["everything"]), 60)["everything"]
    ids = {c["name"]: c["containerID"].partition("://")[2] for c in found["status"]["containers"]}
    assert found["status"]["restarts"] == 0
    pids = home.containers()
    status = {name: dict(line.split(":\t", 1) for line in lines(pids[key])) for name, key in ids.items()}
    assert {name: one["Uid"].split()[0] for name, one in status.items()} == {"web": "65534", "held": "1001", "free": "0"}
    assert {name: one["Seccomp"] for name, one in status.items()} == {"web": "2", "held": "2", "free": "0"}
    assert int(status["web"]["CapBnd"], 16) == 1 << 10, "CAP_NET_BIND_SERVICE alone"
    assert {"4000", "4001"} <= set(status["held"]["Groups"].split())
    script = "hostname; cat /etc/resolv.conf; echo $GREETING $COLOUR $TOKEN $WHO $MOST $P_colour $token; cat /tmp/started"
    files = "cat /data/made /settings/deep/colour /hidden/token /all/colour /about/name; ls -d /part /mine /node /site/www"
    token = service_accounts.content(pids[ids["web"]], "/all/account/token")
    user = service_accounts.review(home.plane, token, "harbour")["user"]["username"]
    assert user == "system:serviceaccount:default:everything"
    said = home.containerd.ctr(
        "tasks", "exec", "--exec-id", "look", ids["web"], "sh", "-c", f"{script}; {files}", namespace=NAMESPACE
    )
    assert said.stdout.splitlines() == [
        "quay.harbour.default.svc.cluster.local",
        "search a.test",
        "nameserver 192.0.2.53",
        "options ndots:2 edns0",
        "ahoy blue hidden everything 64 blue hidden",
        "started",
        "made",
        "bluehiddenblueeverything/mine",
        "/node",
        "/part",
        "/site/www",
    ]


def lines(pid: int) -> list[str]:
    """/proc/PID/status."""
    return Path(f"/proc/{pid}/status").read_text().splitlines()
