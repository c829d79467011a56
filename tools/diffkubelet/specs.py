"""The library of specs: YAML files in `specs/`, one a topic, each a mapping of names to specs.

    a-name:
      says: what it is about
      until: ready          # when it is looked at; see `status.UNTIL`
      spec: {...}           # core/v1 PodSpec

Short forms, for both sides alike: a container without a name is `main`; one without an image is `busybox:1`, and sleeps unless
it says what else to do. What is not said here is left to the defaults of either side.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.diffkubelet.status import UNTIL, moments
from tools.progress import ToolError

Object = dict[str, Any]

FOLDER = Path(__file__).resolve().parent / "specs"
OBJECTS = FOLDER / "objects.yaml"
"""What the specs refer to: ConfigMaps, Secrets, classes."""

NAMESPACE = "default"
IMAGE = "busybox:1"
SLEEP = ["sleep", "2147483647"]
GRACE_SECONDS = 1
"""Until SIGKILL, unless a spec says otherwise: `sleep` as the first process of a container does not heed SIGTERM."""

POD_ALONE = {"automountServiceAccountToken": False}
"""What is said to the Pod alone, unless a spec says otherwise. An instance acts for no ServiceAccount unless it asks to."""

_KEYS = {"says", "until", "spec", "annotations"}


@dataclass(frozen=True)
class Spec:
    """One spec of the library."""

    name: str
    topic: str
    """The file that it is from."""
    says: str
    until: str
    pod_spec: Object
    """core/v1 PodSpec, short forms written out."""
    annotations: Object

    def pod(self, node: str) -> Object:
        """The Pod on a node."""
        return self._object("v1", "Pod", POD_ALONE | self.pod_spec | {"nodeName": node})

    def instance(self, node: str) -> Object:
        """The ContainerInstance on a node: the same fields, whether Moorage knows them or not."""
        return self._object("moorage.dev/v1alpha1", "ContainerInstance", self.pod_spec | {"nodeName": node})

    def _object(self, version: str, kind: str, spec: Object) -> Object:
        about = {"name": self.name, "namespace": NAMESPACE, "labels": {"app": self.name}, "annotations": self.annotations}
        return {"apiVersion": version, "kind": kind, "metadata": about, "spec": spec}


def library(folder: Path = FOLDER) -> list[Spec]:
    """All specs, by file and then as they stand there.

    Raises:
        ToolError: when one is not as it should be, or two have the same name.
    """
    found: dict[str, Spec] = {}
    for file in sorted(folder.glob("*.yaml")):
        if file.name == OBJECTS.name:
            continue
        for name, entry in yaml.safe_load(file.read_text()).items():
            if name in found:
                raise ToolError(f"{file.name}: {name} is also in {found[name].topic}.yaml: choose another name")
            found[name] = parse(name, file.stem, entry)
    return list(found.values())


def parse(name: str, topic: str, entry: Object) -> Spec:
    """One spec from its entry.

    Raises:
        ToolError: when something is missing or not known.
    """
    until = entry.get("until", "ready")
    if unknown := sorted(entry.keys() - _KEYS):
        raise ToolError(f"{topic}.yaml: {name} has {unknown[0]!r}, and there are only {', '.join(sorted(_KEYS))}")
    if "says" not in entry:
        raise ToolError(f"{topic}.yaml: {name} does not say what it is about: add `says`")
    if moments(until):
        raise ToolError(f"{topic}.yaml: {name} has until: {until!r}; it may be {', '.join(UNTIL)} or `waiting REASON`")
    return Spec(name, topic, entry["says"], until, written_out(entry.get("spec") or {}), entry.get("annotations") or {})


def written_out(spec: Object) -> Object:
    """A PodSpec without short forms."""
    spec = copy.deepcopy(spec)
    spec["containers"] = [_container(given) for given in spec.get("containers") or [{}]]
    if "initContainers" in spec:
        spec["initContainers"] = [_container(given) for given in spec["initContainers"]]
    return {"terminationGracePeriodSeconds": GRACE_SECONDS} | spec


def _container(given: Object) -> Object:
    made: Object = {"name": "main", "image": IMAGE} | given
    if "image" not in given and not {"command", "args"} & given.keys():
        made["command"] = SLEEP
    return made


def objects() -> list[Object]:
    """What the specs refer to."""
    return [found for found in yaml.safe_load_all(OBJECTS.read_text()) if found]


def chosen(specs: Iterable[Spec], names: Iterable[str]) -> list[Spec]:
    """The specs with these names, or of these topics; all when there are none.

    Raises:
        ToolError: when a name is of none.
    """
    specs, names = list(specs), list(names)
    known = {spec.name for spec in specs} | {spec.topic for spec in specs}
    if unknown := [name for name in names if name not in known]:
        raise ToolError(f"no spec or topic is called {', '.join(unknown)}; `--list` shows them")
    return [spec for spec in specs if not names or {spec.name, spec.topic} & set(names)]
