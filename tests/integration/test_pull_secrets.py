"""Private images on one node: by Secrets, by the node's file and by a plugin; whose they are; and that no password gets out."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.runtime.port import Credential
from tests.files import files
from tests.harness import GROUP, Object, Site, message, ready, reason, started
from tests.private import GOOD, OTHER, USERS, WRONG, docker_config
from tools.lab import Containerd, ControlPlane, FaultyRegistry, Registry
from tools.lab.process import TAG, free_port

TENANTS = ("pulls-a", "pulls-b")
REFUSED = {"ErrImagePull", "ImagePullBackOff"}


@dataclass
class Place:
    """An installation, and registries that want user and password, which all have the test images."""

    site: Site
    secrets: FaultyRegistry
    """Nobody knows its passwords but Secrets."""
    file: FaultyRegistry
    """The node's config.json has one for it."""
    plugin: FaultyRegistry
    """A credential provider has."""
    metrics: int

    def image(self, name: str = "busybox:1", of: FaultyRegistry | None = None) -> str:
        """Of the registry that is given, or else of that for which there are Secrets."""
        return f"{(of or self.secrets).host}/{name}"

    def secret(self, namespace: str, name: str, credential: Credential, *, old: bool = False) -> None:
        """A Secret with credentials for that registry, of either type."""
        key, kind = (".dockercfg", "dockercfg") if old else (".dockerconfigjson", "dockerconfigjson")
        text = docker_config(self.secrets.host, credential)
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "type": f"kubernetes.io/{kind}",
                "stringData": {key: json.dumps(json.loads(text)["auths"]) if old else text},
            }
        )

    def instance(self, namespace: str, name: str, image: str, *secrets: str, policy: str = "IfNotPresent") -> None:
        """An instance that runs an image, if it may."""
        container = {"name": "main", "image": image, "command": ["sleep", "1000000"], "imagePullPolicy": policy}
        spec: Object = {
            "nodeName": self.site.node,
            "network": "None",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "imagePullSecrets": [{"name": secret} for secret in secrets],
        }
        self.apply(
            {
                "apiVersion": "moorage.dev/v1alpha1",
                "kind": "ContainerInstance",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }
        )

    def wanted(self, namespace: str, image: str, *secrets: str) -> None:
        """A ContainerImage."""
        meta = {"name": "early", "namespace": namespace}
        spec = {"image": image, "pullSecrets": [{"name": secret} for secret in secrets]}
        self.apply({"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "metadata": meta, "spec": spec})

    def apply(self, obj: Object) -> None:
        """`kubectl apply`."""
        self.site.apply(obj)

    def found(self, namespace: str, name: str, *reasons: str) -> Object:
        """An instance, once it is ready, or not for one of these reasons."""

        def true(known: Any) -> bool:
            return name in known and (reason(known[name]) in reasons if reasons else ready(known[name]))

        return self.site.api.until(f"{GROUP}/namespaces/{namespace}/containerinstances", true)[name]

    def told(self, namespace: str, name: str, reason: str) -> None:
        """Wait until an instance has an Event of some reason."""

        def true(known: Any) -> bool:
            return any(event["involvedObject"]["name"] == name and event["reason"] == reason for event in known.values())

        self.site.api.until(f"/api/v1/namespaces/{namespace}/events", true)


@pytest.fixture(scope="module")
def place(
    plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Registries, tenants, and a node with credentials of its own."""
    folder = tmp_path_factory.mktemp("pulls")
    with (
        Registry(folder / "r", users=USERS, images=registry.images) as private,
        FaultyRegistry(private.host) as secrets,
        FaultyRegistry(private.host) as file,
        FaultyRegistry(private.host) as plugin,
    ):
        port = free_port()
        options = [*_plugin(folder, plugin.host), f"--metrics-port={port}", "--verbose"]
        site = Site(plane, containerd, registry, folder / "s", "pulls1", options)
        (site.state / "agent").mkdir(parents=True)
        (site.state / "agent" / "config.json").write_text(docker_config(file.host, GOOD))
        for tenant in TENANTS:
            plane.kubectl("create", "namespace", tenant)
        try:
            with started(site):
                yield Place(site, secrets, file, plugin, port)
        finally:
            plane.kubectl("delete", "namespace", "--wait=false", *TENANTS)


def _plugin(folder: Path, host: str) -> list[str]:
    """A credential provider that has the password in a file of its own."""
    (folder / "plugins").mkdir()
    answer = {
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Registry",
        "auth": {host: {"username": GOOD.username, "password": GOOD.password}},
    }
    (folder / "plugins" / "answer").write_text(json.dumps(answer))
    program = folder / "plugins" / "provider"
    program.write_text(f"#!/bin/sh\nexec cat {folder}/plugins/answer\n")
    program.chmod(0o755)
    version = "credentialprovider.kubelet.k8s.io/v1"
    provider = {"name": "provider", "matchImages": [host], "defaultCacheDuration": "1m", "apiVersion": version}
    head = {"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig"}
    (folder / "providers.yaml").write_text(json.dumps({**head, "providers": [provider]}))
    config, programs = folder / "providers.yaml", folder / "plugins"
    return [f"--image-credential-provider-config={config}", f"--image-credential-provider-bin-dir={programs}"]


def test_without_credentials_it_is_told_why_and_with_them_it_runs(place: Place) -> None:
    """A Secret that is not there is told in an Event; as soon as it is, the pull is tried anew, without a pause."""
    place.instance("pulls-a", "first", place.image(), "late")
    told = place.found("pulls-a", "first", "ErrImagePull", "ImagePullBackOff")
    assert 'secret "late" not found' in message(told)
    assert "wants credentials" in message(told)
    place.told("pulls-a", "first", "FailedToRetrieveImagePullSecret")
    place.secret("pulls-a", "late", GOOD)
    place.found("pulls-a", "first")


def test_another_tenant_is_let_in_by_its_own_credentials_alone(place: Place) -> None:
    """To it, the image is not there: whatever its policy, and whether it has no credentials or wrong ones."""
    image = place.image()
    place.secret("pulls-a", "regcred", GOOD)
    place.instance("pulls-a", "owner", image, "regcred")
    place.found("pulls-a", "owner")
    place.secret("pulls-b", "wrong", WRONG)
    place.instance("pulls-b", "none", image)
    place.instance("pulls-b", "wrong", image, "wrong")
    place.instance("pulls-b", "never", image, policy="Never")
    place.instance("pulls-b", "absent", place.image("user:1"), policy="Never")
    for name in ("none", "wrong"):
        refused = place.found("pulls-b", name, "ErrImagePull", "ImagePullBackOff")
        assert place.secrets.host in message(refused)
    never, absent = (place.found("pulls-b", name, "ErrImageNeverPull") for name in ("never", "absent"))
    assert message(never).replace("busybox", "user") == message(absent)
    place.secrets.forget()
    place.secret("pulls-b", "own", OTHER, old=True)
    place.instance("pulls-b", "own", image, "own")
    place.instance("pulls-b", "own-never", image, "own", policy="Never")
    place.found("pulls-b", "own")
    place.instance("pulls-b", "later", image, "own", policy="Never")
    place.found("pulls-b", "later")
    assert place.secrets.served("/v2/busybox/blobs/") == 0, "nothing was fetched anew"
    assert not place.secrets.asked("GET /v2/busybox/manifests/")


def test_an_image_that_is_wanted_early_is_its_namespaces_own(place: Place) -> None:
    """Pulled by the Secrets that it names. Another namespace's own of it fails, and hears nothing of what there is."""
    image = place.image("web:1")
    place.secret("pulls-a", "regcred", GOOD)
    place.wanted("pulls-a", image, "regcred")
    place.wanted("pulls-b", image)
    path = f"{GROUP}/namespaces/pulls-{{}}/containerimages"
    mine = place.site.api.until(path.format("a"), lambda known: ready(known["early"]))["early"]
    theirs = place.site.api.until(path.format("b"), lambda known: reason(known["early"]) in REFUSED)["early"]
    assert mine["status"]["digests"][0]["nodes"] == 1
    assert not theirs["status"].get("digests")
    assert theirs["status"]["nodes"]["failed"] == 1
    assert "wants credentials" in theirs["status"]["failures"][0]["message"]
    place.instance("pulls-a", "early", image, "regcred", policy="Never")
    place.instance("pulls-b", "early", image, policy="Never")
    place.found("pulls-a", "early")
    place.found("pulls-b", "early", "ErrImageNeverPull")
    for tenant in TENANTS:
        place.site.plane.kubectl("delete", "cimg", "--all", "-n", tenant)


def test_who_was_let_in_is_known_to_the_next_agent(place: Place) -> None:
    """Nothing is asked of the registry, which may be away; others are still not let in."""
    image = place.image("pause:1")
    place.secret("pulls-a", "regcred", GOOD)
    place.instance("pulls-a", "before", image, "regcred")
    place.found("pulls-a", "before")
    place.site.agent.stop()
    place.secrets.forget()
    place.site.agent.start()
    place.instance("pulls-a", "after", image, "regcred")
    place.found("pulls-a", "after")
    assert place.secrets.asked("/v2/pause/") == []
    place.instance("pulls-b", "after", image)
    place.found("pulls-b", "after", "ErrImagePull", "ImagePullBackOff")


def test_the_nodes_own_credentials_are_for_all_on_it(place: Place) -> None:
    """By its file, or by a plugin that is asked for them; no Secret is named."""
    for name, registry in (("file", place.file), ("plugin", place.plugin)):
        for tenant in TENANTS:
            place.instance(tenant, name, place.image(of=registry))
        for tenant in TENANTS:
            place.found(tenant, name)


def test_the_nodes_file_is_read_anew(place: Place) -> None:
    """What an administrator mends is tried at the next turn."""
    file = place.site.state / "agent" / "config.json"
    file.write_text(docker_config(place.file.host, WRONG))
    place.instance("pulls-a", "mended", place.image("web:1", place.file))
    place.found("pulls-a", "mended", "ErrImagePull", "ImagePullBackOff")
    file.write_text(docker_config(place.file.host, GOOD))
    place.found("pulls-a", "mended")


def test_no_password_is_anywhere(place: Place) -> None:
    """After success and failure: in no log, event, status, metric, file or process of manager, agent and containerd."""
    place.secret("pulls-a", "regcred", GOOD)
    place.secret("pulls-b", "wrong", WRONG)
    place.instance("pulls-a", "good", place.image("web:2"), "regcred")
    place.found("pulls-a", "good")
    place.instance("pulls-b", "bad", place.image("web:2"), "wrong")
    place.found("pulls-b", "bad", "ErrImagePull", "ImagePullBackOff")
    hidden = [c.password for c in (GOOD, OTHER, WRONG)]
    hidden += [base64.b64encode(f"{c.username}:{c.password}".encode()).decode() for c in (GOOD, OTHER, WRONG)]
    for where, text in _everything(place):
        for one in hidden:
            assert one.encode() not in text, f"a password is in {where}"


def _everything(place: Place) -> Iterator[tuple[str, bytes]]:
    """All that can be read without the right to Secrets."""
    site = place.site
    for kind in ("containerinstances", "containerworkloads", "runtimenodes", "events", "leases"):
        yield kind, site.plane.kubectl("get", kind, "--all-namespaces", "-o", "json").stdout.encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{place.metrics}/metrics", timeout=10) as answer:
        yield "metrics", answer.read()
    own = (site.state / "agent" / "config.json", site.memory, site.netns)
    blobs = Path(site.containerd.state) / "root" / "io.containerd.content.v1.content"
    for root in (site.state, Path(site.containerd.state)):
        for path in files(root):
            if not any(path.is_relative_to(other) for other in (*own, blobs)):
                yield str(path), path.read_bytes()
    seen = 0
    for entry in Path("/proc").iterdir():
        try:
            environment = (entry / "environ").read_bytes() if entry.name.isdecimal() else b""
            if any(f"{TAG}={state}\0".encode() in environment for state in (site.state, site.containerd.state)):
                seen += 1
                yield f"{entry}/environ", environment
                yield f"{entry}/cmdline", (entry / "cmdline").read_bytes()
        except OSError:
            continue
    assert seen >= 3, "manager, agent and containerd at least"
