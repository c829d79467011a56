"""The examples: each is let in by the API server as it stands, and does what its comment says."""

import http.client
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml

from controller import __version__
from controller.runtime.containerd.runtime import ContainerdRuntime
from controller.runtime.port import ImageFailure
from tests.conftest import ROOT
from tests.harness import GROUP, Object, Site, ready, reason, until_logged
from tools.chart.manifests import template
from tools.lab import Containerd, ControlPlane, Process, Registry
from tools.lab.command import tool
from tools.lab.process import free_port

MANIFESTS = ROOT / "manifests"
EXAMPLES = sorted((MANIFESTS / "examples").glob("*.yaml"))
OVERLAYS = sorted((MANIFESTS / "kustomize" / "overlays").iterdir())
GITOPS = sorted((MANIFESTS / "gitops").glob("*/*.yaml"))
CHART = ROOT / "helm" / "moorage"

LAB_REGISTRY = "127.0.0.1:5000"
"""The registry of `make demo`, as the examples name it."""

SESAME = "$2b$04$y/uABuOtCc4e8OthpKWFxuw/ryChQ42wjflGhLzt3QuT91W2zsqeu"
"""bcrypt of `sesame`."""

REGISTRY_CONFIGURATION = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {images}}}}}
http: {{addr: "{host}"}}
auth: {{htpasswd: {{realm: test, path: {passwords}}}}}
"""


def _documents(text: str) -> list[Object]:
    return [document for document in yaml.safe_load_all(text) if document]


def _namespace(documents: list[Object]) -> Object:
    (found,) = [d for d in documents if d["kind"] == "Namespace"]
    return found


@pytest.fixture(scope="module")
def namespaces(plane: ControlPlane) -> Iterator[Callable[[Object], None]]:
    """Makes namespaces, or gives them other labels; all are deleted at the end."""
    made: set[str] = set()

    def make(obj: Object) -> None:
        made.add(obj["metadata"]["name"])
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(obj))

    yield make
    plane.kubectl("delete", "namespace", *sorted(made), "--wait=false")


def _let_in(plane: ControlPlane, text: str) -> None:
    """The API server takes all of it, strictly and without a warning, and writes nothing."""
    strictly = ("--server-side", "--dry-run=server", "--validate=strict")
    done = plane.kubectl("apply", *strictly, "-f", "-", stdin=text, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_let_in_by_the_level_that_its_namespace_names(
    path: Path, plane: ControlPlane, namespaces: Callable[[Object], None]
) -> None:
    """Pod Security included; and with a stricter level it would not be, so the label says neither too little nor too much."""
    text = path.read_text()
    assert text.startswith("# "), "a comment on top teaches"
    namespace = _namespace(_documents(text))
    level = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    namespaces(namespace)
    _let_in(plane, text)
    stricter = {"privileged": "baseline", "baseline": "restricted"}.get(level)
    if stricter is not None:
        namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = stricter
        namespaces(namespace)  # for this moment
        (rest,) = [yaml.safe_dump(d) for d in _documents(text) if d["kind"] != "Namespace"]
        done = plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=rest, check=False)
        assert f'violates PodSecurity "{stricter}:latest"' in done.stderr
        namespaces(_namespace(_documents(text)))


def test_the_examples_run(site: Site, namespaces: Callable[[Object], None]) -> None:
    """All at once on one node, from the lab's registry: ready, done or talking to each other, as their comments say."""
    runnable = [path for path in EXAMPLES if path.stem != "private-registry"]
    text = "\n---\n".join(path.read_text().replace(f"{LAB_REGISTRY}/", f"{site.registry.host}/") for path in runnable)
    text = re.sub(r'"8080"', f'"{free_port()}"', text)  # the page on the node's own network
    for path in runnable:
        namespaces(_namespace(_documents(path.read_text())))
    site.plane.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    try:
        workloads = len(runnable) - 1  # one is an image
        found = site.api.until(f"{GROUP}/containerworkloads", lambda o: len(o) == workloads and all(map(_done, o.values())), 60)
        images = site.api.until(f"{GROUP}/containerimages", lambda o: len(o) == 1 and all(map(ready, o.values())))
        assert images["web"]["status"]["ready"] == "1/1"
        assert {name: (o["status"]["ready"], reason(o)) for name, o in found.items()} == {
            "web": ("1/1", "Available"),
            "worker": ("2/2", "Available"),
            "report": ("1/1", "Complete"),
            "node-agent": ("1/1", "Available"),
            "pair": ("1/1", "Available"),
        }
        (client,) = (site.state / "containers").glob("example-two-containers_*/client/0.log")
        until_logged(client, "<h1>Moored.</h1>")
        (report,) = (site.state / "containers").glob("example-job_*/report/0.log")
        assert report.read_text().endswith("done\n")
    finally:
        site.plane.kubectl("delete", "cw,cimg", "--all", "--all-namespaces", "--wait=false")
        site.api.until(f"{GROUP}/containerinstances", lambda o: not o, 60)


def _done(obj: Object) -> bool:
    return ready(obj) and (obj["metadata"]["name"] != "report" or reason(obj) == "Complete")


async def test_the_login_of_the_private_registry_example_works(
    registry: Registry, containerd: Containerd, tmp_path: Path
) -> None:
    """The hosts.toml of the comment, with another address in it, lets containerd pull from a registry that asks for a login."""
    host = f"127.0.0.1:{free_port()}"
    (tmp_path / "passwords").write_text(f"puller:{SESAME}\n")
    (tmp_path / "config.yml").write_text(
        REGISTRY_CONFIGURATION.format(images=registry.state / "images", host=host, passwords=tmp_path / "passwords")
    )
    hosts = tmp_path / "certs.d" / host / "hosts.toml"
    text = (MANIFESTS / "examples" / "private-registry.yaml").read_text()
    commented = text.partition("hosts.toml, owned")[2].partition("# The last line")[0]
    toml = "\n".join(re.findall(r"^#   (.*)$", commented, re.MULTILINE)).replace(
        "https://registry.example.com", f"http://{host}"
    )
    assert "Authorization" in toml
    runtime = ContainerdRuntime(
        containerd.address, namespace="private", hosts_dir=str(tmp_path / "certs.d"), run_dir=str(tmp_path / "run")
    )
    with Process("private-registry", ["docker-registry", "serve", tmp_path / "config.yml"], tmp_path / "s") as process:
        process.wait_ready(lambda: _asks_for_a_login(host), 15)
        try:
            await runtime.info()
            with pytest.raises(ImageFailure):
                await runtime.pull(f"{host}/user:1")
            hosts.parent.mkdir(parents=True)
            hosts.write_text(toml)
            found = await runtime.pull(f"{host}/user:1")
            assert found.digest.startswith("sha256:")
            await runtime.remove_image(f"{host}/user:1")
        finally:
            await runtime.close()


def _asks_for_a_login(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == HTTPStatus.UNAUTHORIZED
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="module")
def definitions(plane: ControlPlane) -> Iterator[None]:
    """The definitions of Flux and Argo CD are installed, in the versions that tools/gitops pins."""
    file = tool("gitops-definitions.yaml")
    plane.kubectl("apply", "--server-side", "-f", file)
    try:
        plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", file)
        yield
    finally:
        plane.kubectl("delete", "-f", file, "--wait=false")


@pytest.mark.parametrize("path", GITOPS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_objects_for_flux_and_argo_cd_are_let_in(
    path: Path, plane: ControlPlane, definitions: None, namespaces: Callable[[Object], None]
) -> None:
    """By their own definitions, with no field that those do not know."""
    (obj,) = _documents(path.read_text())
    namespaces({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": obj["metadata"]["namespace"]}})
    _let_in(plane, path.read_text())
    obj["spec"]["moorings"] = 2
    done = plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(obj), check=False)
    assert 'unknown field "spec.moorings"' in done.stderr, "the definition is strict"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda p: p.name)
def test_overlays_render_and_are_let_in(overlay: Path, plane: ControlPlane, namespaces: Callable[[Object], None]) -> None:
    """`kubectl kustomize` gives a namespace and a workload, with what the overlay says in the places where it belongs."""
    text = plane.kubectl("kustomize", overlay).stdout
    documents = _documents(text)
    namespaces(_namespace(documents))
    _let_in(plane, text)
    (found,) = [d for d in documents if d["kind"] == "ContainerWorkload"]
    spec, template_ = found["spec"], found["spec"]["template"]
    assert found["metadata"]["namespace"] == f"shop-{overlay.name}" == _namespace(documents)["metadata"]["name"]
    assert template_["metadata"]["labels"] == {"app": "shop", "environment": overlay.name}
    (container,) = template_["spec"]["containers"]
    assert (spec.get("replicas"), container["image"].rpartition(":")[2], container["resources"]["limits"]["memory"]) == {
        "staging": (None, "2", "64Mi"),
        "production": (3, "1", "256Mi"),
    }[overlay.name]


def test_the_health_of_argo_cd_is_let_in(plane: ControlPlane, namespaces: Callable[[Object], None]) -> None:
    """argocd-cm.yaml is a ConfigMap of Argo CD's namespace."""
    namespaces({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}})
    _let_in(plane, (MANIFESTS / "argocd" / "argocd-cm.yaml").read_text())


def test_gitops_objects_name_what_there_is() -> None:
    """Paths of this repository, this version, and values that the chart takes."""
    objects = {path.stem: yaml.safe_load(path.read_text()) for path in GITOPS}
    release, apps = objects["helmrelease"]["spec"], [objects["moorage"]["spec"]["source"], objects["shop"]["spec"]["source"]]
    paths = [release["chart"]["spec"]["chart"], objects["kustomization"]["spec"]["path"], *(app["path"] for app in apps)]
    assert all((ROOT / path).is_dir() for path in paths)
    versions = {objects["source"]["spec"]["ref"]["tag"], *(app["targetRevision"] for app in apps)}
    assert versions == {f"v{__version__}"}
    for values in (release["values"], apps[0]["helm"]["valuesObject"]):
        shown = template(CHART, "--set", f"image.repository={values['image']['repository']}")
        assert set(values) == {"image"}
        assert f"image: registry.example.com/moorage:{__version__}" in shown.replace('"', "")
