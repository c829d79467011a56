"""What the chart renders: values arrive where they belong, and nobody gets more than they need."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller import __version__
from controller.api import schema
from controller.api.labels import NODE_LEASE_NAMESPACE
from controller.api.workload import ContainerWorkload
from tests.chart.rendering import CHART, EVERYTHING, MINIMAL, SETS, Object, helm, is_hook, of_kind, one, pods, render
from tools.chart import manifests


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_helm_finds_nothing_to_say(values: Object, tmp_path: Path) -> None:
    """`helm lint --strict` passes with each set of values."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = helm("lint", "--strict", CHART, "--values", file)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"uninstall": {"containers": "Maybe"}}, ["/uninstall/containers", "'Keep', 'Stop'"]),
        ({"agent": {"containerdSocket": "/x"}}, ["/agent", "'containerdSocket' not allowed"]),
        ({"agent": {"containerd": {"socket": "containerd.sock"}}}, ["/agent/containerd/socket", "does not match pattern"]),
        ({"manager": {"replicas": 0}}, ["/manager/replicas", "minimum: got 0, want 1"]),
        ({"manager": {"replicas": "two"}}, ["/manager/replicas", "got string, want integer"]),
        ({"podSecurity": {"enforce": "none"}}, ["/podSecurity/enforce", "'privileged', 'baseline', 'restricted'"]),
        ({"agent": {"logDir": None}}, ["/agent", "missing property 'logDir'"]),
        ({"agent": {"images": {"gcLowPercent": 90}}}, ["agent.images.gcLowPercent must not be more than"]),
        ({"agents": {}}, ["'agents' not allowed"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_value_is_refused_by_name(values: Object, said: list[str]) -> None:
    """What is misspelt or of the wrong kind is told with its path and what is allowed, before anything is installed."""
    with pytest.raises(manifests.RenderError) as refused:
        render(values)
    assert all(part in str(refused.value) for part in said), refused.value


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_only_agents_are_trusted_with_the_node(values: Object) -> None:
    """Everything but the agent is unprivileged, writes to no file system, and has no path of its node."""
    found = pods(render(values))
    assert set(found) == {"moorage-manager", "moorage-agent", "moorage-uninstall"}
    agent = found.pop("moorage-agent")
    assert agent["containers"][0]["securityContext"] == {"privileged": True, "runAsUser": 0, "readOnlyRootFilesystem": True}
    for spec in found.values():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & set(spec)
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_agents_have_no_right_to_tokens_unless_a_value_says_so() -> None:
    """And then to ask for them alone; the policy that says where is there in any case."""
    for values, given in ((dict[str, Any](), False), ({"agent": {"serviceAccountTokens": {"enabled": True}}}, True)):
        found = render(values)
        rules = [rule for role in ("ClusterRole", "Role") for o in of_kind(found, role) for rule in o["rules"]]
        about = [rule for rule in rules if any(r.startswith(("serviceaccounts", "*")) for r in rule.get("resources", ()))]
        own = {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}
        assert about == ([own] if given else [])
        assert not given or own in one(found, "ClusterRole", "moorage-agent")["rules"]
        one(found, "ValidatingAdmissionPolicyBinding", "moorage-agent-tokens")


def test_arguments_follow_from_values() -> None:
    """Both halves are called with what the values say, with options that they have."""
    found = pods(render(EVERYTHING))
    manager, agent = (found[name]["containers"][0] for name in ("moorage-manager", "moorage-agent"))
    assert manager["args"][0] == "manager"
    assert set(manager["args"]) >= {"--leader-elect", "--node-grace-seconds=20", "--metrics-port=9440", "--verbose"}
    assert agent["args"][0] == "agent"
    assert set(agent["args"]) >= {
        "--heartbeat-seconds=5",
        "--containerd=/run/k3s/containerd/containerd.sock",
        "--state-dir=/var/lib/moorage",
        "--log-dir=/var/log/moorage",
        "--netns-dir=/run/netns-of-moorage",
        "--memory-dir=/run/secrets-of-moorage",
        "--log-max-size=10Mi",
        "--log-max-files=5",
        "--metrics-port=9441",
        "--verbose",
    }
    uninstall = found["moorage-uninstall"]["containers"][0]
    assert uninstall["args"] == ["uninstall", "--containers=stop", "--namespace=moorage-system", "--timeout=60"]
    for container in (manager, agent, uninstall):
        assert container["image"] == "registry.test/moorage:1.2.3"
        assert {e["name"]: e.get("value") for e in container["env"]}.items() >= {
            ("KUBERNETES_SERVICE_HOST", "192.0.2.7"),
            ("KUBERNETES_SERVICE_PORT", "7443"),
        }
    assert {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}} in agent["env"]


@pytest.mark.parametrize("half", ["manager", "agent", "uninstall"])
def test_the_program_takes_the_arguments(half: str) -> None:
    """Each option that the chart passes is one that the command knows, and so is each variable of the environment."""
    import typer.main

    from controller.cli.app import app

    command: Any = typer.main.get_command(app)
    parameters = command.commands[half].params
    known = {name for parameter in parameters for name in parameter.opts}
    container = pods(render(EVERYTHING))[f"moorage-{half}"]["containers"][0]
    assert container["command"] == ["moorage"]
    assert {argument.partition("=")[0] for argument in container["args"][1:]} <= known
    read = {str(parameter.envvar) for parameter in parameters}
    assert {e["name"] for e in container["env"]} - read <= {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}


def test_paths_of_the_node_are_mounted_where_they_are() -> None:
    """A shim or the OCI runtime is told a path and looks it up on the node, so each is the same in the pod."""
    for values in SETS.values():
        spec = pods(render(values))["moorage-agent"]
        on_node = {v["name"]: v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v}
        mounts = {m["name"]: m for m in spec["containers"][0]["volumeMounts"]}
        assert {name: mounts[name]["mountPath"] for name in on_node} == on_node
        assert set(mounts) == {volume["name"] for volume in spec["volumes"]}


def _mounts(values: Object) -> dict[str, tuple[str, bool]]:
    """Path -> (propagation, read only) of an agent's mounts."""
    (container,) = pods(render(values))["moorage-agent"]["containers"]
    return {m["mountPath"]: (m.get("mountPropagation", "None"), m.get("readOnly", False)) for m in container["volumeMounts"]}


def test_an_agent_sees_of_its_node_what_it_needs() -> None:
    """Mounts that come and go on the node come and go in the pod; only network namespaces go the other way, too."""
    assert _mounts({}) == {
        "/run/containerd": ("HostToContainer", False),
        "/var/lib/containerd": ("HostToContainer", True),
        "/var/lib/moorage": ("HostToContainer", False),
        "/var/log/moorage": ("None", False),
        "/run/moorage": ("Bidirectional", False),
        "/etc/cni/net.d": ("None", True),
        "/sys/fs/cgroup": ("None", False),
        "/dev": ("None", False),
        "/tmp": ("None", False),
    }


@pytest.mark.parametrize(
    ("socket", "folders"),
    [
        ("/run/containerd/containerd.sock", {"/run/containerd"}),
        ("/run/k3s/containerd/containerd.sock", {"/run/k3s/containerd", "/run/containerd"}),
        ("/var/run/docker/containerd/containerd.sock", {"/var/run/docker/containerd", "/run/containerd"}),
    ],
)
def test_any_containerd_can_be_the_one(socket: str, folders: set[str]) -> None:
    """The folder of the socket is mounted, and that of the shims' sockets, which is the same for every containerd."""
    mounts = _mounts({"agent": {"containerd": {"socket": socket, "root": "/data/containerd"}}})
    assert folders == {path for path in mounts if "containerd" in path and path != "/data/containerd"}
    assert mounts["/data/containerd"] == ("HostToContainer", True)


def test_credentials_for_registries_are_read_only() -> None:
    """A Secret of the release as a folder, so that its changes arrive; plugins and their configuration from the node."""
    provider = {"config": "/etc/kubernetes/providers.yaml", "binDir": "/usr/libexec/providers"}
    values = {"agent": {"registrySecret": "registries", "imageCredentialProvider": provider}}
    mounts = _mounts(values)
    for path in ("/etc/moorage/registries", *provider.values()):
        assert mounts[path] == ("None", True)
    spec = pods(render(values))["moorage-agent"]
    (secret,) = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert secret["secretName"] == "registries"
    assert secret["items"] == [{"key": ".dockerconfigjson", "path": "config.json"}]
    assert "--registry-config=/etc/moorage/registries/config.json" in spec["containers"][0]["args"]
    assert not any("registry" in argument for argument in pods(render({}))["moorage-agent"]["containers"][0]["args"])


def test_archives_of_images_are_read_only() -> None:
    """Each folder at its own path, with what the node mounts there; without any it is one in the state folder."""
    folders = ["/srv/archives", "/mnt/images"]
    values = {"agent": {"archiveDirs": folders}}
    mounts = _mounts(values)
    assert [mounts[folder] for folder in folders] == [("HostToContainer", True)] * 2
    args = pods(render(values))["moorage-agent"]["containers"][0]["args"]
    assert [arg for arg in args if "archive" in arg] == [f"--archive-dirs={folder}" for folder in folders]
    assert not any("archive" in arg for arg in pods(render({}))["moorage-agent"]["containers"][0]["args"])


def test_a_folder_of_network_namespaces_elsewhere_is_mounted_both_ways() -> None:
    """The OCI runtime must find what the agent mounts there."""
    mounts = _mounts({"agent": {"netnsDir": "/run/elsewhere"}})
    assert mounts["/run/elsewhere"] == ("Bidirectional", False)


def test_every_mount_says_why() -> None:
    """Beside each path of the node stands what it is for."""
    text = manifests.template(CHART, "--show-only", "templates/agent/daemonset.yaml")
    mounts = text.partition("volumeMounts:\n")[2].partition("      volumes:\n")[0]
    entries = re.split(r"^            - name: ", mounts, flags=re.MULTILINE)
    before = {entry.split("\n")[0]: previous for previous, entry in itertools.pairwise(entries)}
    assert all(re.search(r"^            # \w", text, re.MULTILINE) for name, text in before.items() if name != "tmp")


def test_agents_run_on_every_node_by_default_and_one_at_a_time() -> None:
    """All taints are tolerated, and the old agent of a node ends before the new one starts."""
    found = one(render({}), "DaemonSet", "moorage-agent")
    spec = found["spec"]["template"]["spec"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert (spec["hostNetwork"], spec["hostPID"], spec["dnsPolicy"]) == (True, True, "Default")
    assert found["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "10%", "maxSurge": 0},
    }
    assert pods(render(EVERYTHING))["moorage-agent"]["priorityClassName"] == "system-node-critical"
    assert "priorityClassName" not in pods(render(MINIMAL))["moorage-agent"]


@pytest.mark.parametrize(("replicas", "enabled", "made"), [(2, True, True), (3, False, False), (1, True, False)])
def test_a_disruption_budget_never_blocks_the_only_manager(replicas: int, *, enabled: bool, made: bool) -> None:
    """There is a budget where there is more than one manager, unless it is not wanted."""
    values = {"manager": {"replicas": replicas, "podDisruptionBudget": {"enabled": enabled}}}
    assert bool(of_kind(render(values), "PodDisruptionBudget")) is made


@pytest.mark.parametrize("keep", [True, False])
def test_definitions_are_those_of_the_program(*, keep: bool) -> None:
    """Templates, so that an upgrade upgrades them; kept at an uninstallation unless that is not wanted."""
    found = {o["metadata"]["name"]: o for o in of_kind(render({"crds": {"keep": keep}}), "CustomResourceDefinition")}
    assert {name: o["spec"] for name, o in found.items()} == {d["metadata"]["name"]: d["spec"] for d in schema.crds()}
    for obj in found.values():
        assert obj["metadata"].get("annotations", {}) == ({"helm.sh/resource-policy": "keep"} if keep else {})


def test_definitions_can_be_somebody_elses() -> None:
    """With `crds.enabled: false` there are none in the release."""
    assert of_kind(render({"crds": {"enabled": False}}), "CustomResourceDefinition") == []


@pytest.mark.parametrize(("component", "name"), [("manager", "moorage-manager"), ("agent", "moorage-agent")])
def test_selectors_find_their_pods_and_no_others(component: str, name: str) -> None:
    """Services, budgets and policies of a half select exactly its pods."""
    objects = render(EVERYTHING)
    makers = [o for o in objects if o["kind"] in {"Deployment", "DaemonSet", "Job"}]
    labels = {o["metadata"]["name"]: o["spec"]["template"]["metadata"]["labels"] for o in makers}
    selectors = [one(objects, "Service", f"{name}-metrics")["spec"]["selector"]]
    selectors += [o["spec"]["selector"]["matchLabels"] for o in makers if o["metadata"]["name"] == name]
    if component == "manager":
        selectors += [o["spec"]["selector"]["matchLabels"] for o in of_kind(objects, "PodDisruptionBudget")]
        selectors += [o["spec"]["podSelector"]["matchLabels"] for o in of_kind(objects, "NetworkPolicy")]
    for selector in selectors:
        assert [pod for pod, own in labels.items() if selector.items() <= own.items()] == [name]


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_every_object_is_labelled_and_in_its_namespace(values: Object) -> None:
    """`kubectl get -l app.kubernetes.io/name=moorage` finds all of it, also when it is installed elsewhere."""
    clustered = {"Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    for obj in render(values, namespace="elsewhere"):
        labels, namespace = obj["metadata"]["labels"], obj["metadata"].get("namespace")
        assert labels["app.kubernetes.io/name"] == "moorage", obj["metadata"]
        assert labels["app.kubernetes.io/version"] == __version__
        if obj["kind"] in clustered or obj["kind"].startswith("ValidatingAdmissionPolicy"):
            assert namespace is None
        else:
            # Events about objects of the cluster are written in the namespace default.
            other = {"default"} if obj["kind"] in {"Role", "RoleBinding"} else set()
            assert namespace in {"elsewhere", NODE_LEASE_NAMESPACE, *other}, obj["metadata"]


def test_the_hook_has_rights_only_for_what_it_does() -> None:
    """To keep containers it may delete nothing but both halves; to stop them, it may write nothing."""
    for values, verbs in (({}, {"list", "patch"}), ({"uninstall": {"containers": "Stop"}}, {"list", "watch", "delete"})):
        objects = render(values)
        rules = one(objects, "ClusterRole", "moorage-uninstall")["rules"]
        assert {verb for rule in rules for verb in rule["verbs"]} == verbs
        own = [o for o in objects if o["metadata"]["name"] == "moorage-uninstall"]
        assert len(own) == 6
        assert all(is_hook(o) for o in own)
        for obj in own:  # made before the Job, gone with it
            notes = obj["metadata"]["annotations"]
            assert notes["helm.sh/hook"] == "pre-delete"
            assert "hook-succeeded" in notes["helm.sh/hook-delete-policy"]
            assert notes["helm.sh/hook-weight"] == ("0" if obj["kind"] == "Job" else "-5")


def test_braces_of_others_are_left_alone() -> None:
    """Rules and dashboards have braces of their own, which Prometheus and Grafana read: they arrive as they are."""
    objects = render(EVERYTHING)
    rules = one(objects, "PrometheusRule", "moorage")["spec"]
    assert rules == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    data = one(objects, "ConfigMap", "moorage-dashboards")["data"]
    files = {path.name: path.read_text() for path in (CHART / "files" / "dashboards").glob("*.json")}
    assert {name: text.strip() for name, text in data.items()} == {name: text.strip() for name, text in files.items()}
    assert files


def test_managers_reach_the_api_server_and_dns_alone() -> None:
    """The NetworkPolicy lets in scrapes, and lets out to DNS and to the API server, where it is said to be."""
    (policy,) = of_kind(render(EVERYTHING), "NetworkPolicy")
    dns, api = policy["spec"]["egress"]
    assert {(p["protocol"], p["port"]) for p in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert [p["port"] for p in api["ports"]] == [443, 6443, 7443]
    assert api["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    assert policy["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": "metrics"}]}]


def test_what_is_off_is_not_there() -> None:
    """Nothing that needs somebody else's definitions, and nothing that was turned off, is in a minimal release."""
    kinds = {o["kind"] for o in render(MINIMAL)}
    assert kinds == {"Namespace", "ServiceAccount", "Deployment", "DaemonSet", "Service", "Job"}


def test_the_notes_teach_what_works() -> None:
    """The workload that the notes of an installation show is one."""
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    text = notes.partition("<<'EOF'\n")[2].partition("     EOF")[0]
    assert ContainerWorkload.model_validate(yaml.safe_load(text)).metadata.name == "hello"


def test_the_plain_manifests_are_the_chart() -> None:
    """`manifests/install.yaml` has all that the chart installs by default, and nothing that only Helm would understand."""
    text = (CHART.parents[1] / "manifests" / "install.yaml").read_text()
    plain = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(text)}
    rendered = {(o["kind"], o["metadata"]["name"]): o for o in render({}) if not is_hook(o)}
    assert plain.keys() - rendered.keys() == {("Namespace", "moorage-system")}
    assert rendered.keys() <= plain.keys()
    assert "helm.sh" not in text
    agent = ("DaemonSet", "moorage-agent")
    assert plain[agent]["spec"]["template"]["spec"] == rendered[agent]["spec"]["template"]["spec"]


def test_versions_are_the_programs() -> None:
    """Chart and image carry the version of the program."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert pods(render({}))["moorage-agent"]["containers"][0]["image"] == f"moorage:{__version__}"
