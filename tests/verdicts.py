"""What those that wait for an object make of it: kstatus (Flux, Helm 4), Argo CD's health script, `kubectl wait`."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lupa.lua51 import LuaRuntime  # the Lua that Argo CD's interpreter implements

from tests.harness import Object, condition
from tools.lab.command import tool

ROOT = Path(__file__).resolve().parents[1]
HEALTH = ROOT / "manifests" / "argocd" / "health.lua"

CLOSED = ("io", "string", "math", "debug", "coroutine", "python", "require", "dofile", "loadfile")
"""What Argo CD keeps from a script by default (it offers the base and table functions, and a harmless part of os)."""

AGREES = {
    "Current": {"Healthy", "Suspended"},
    "InProgress": {"Progressing"},
    "Failed": {"Degraded"},
    "Terminating": {"Progressing"},
    "NotFound": {"Missing"},
}
"""Argo CD's words for each of kstatus'."""


def kstatus(objects: Sequence[Object | None]) -> list[str]:
    """The status of each object; None stands for one that is not there."""
    lines = "\n".join(map(json.dumps, objects))
    done = subprocess.run([tool("kstatus")], input=lines, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["status"] for line in done.stdout.splitlines()]


class Argo:
    """Argo CD's health assessment with our script, in a Lua interpreter of its own."""

    def __init__(self) -> None:
        self._lua = LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
        for name in CLOSED:
            self._lua.globals()[name] = None
        self._script = HEALTH.read_text()

    def health(self, obj: Object | None) -> tuple[str, str]:
        """Status and message; an object that is not there is Missing without any script."""
        if obj is None:
            return "Missing", ""
        self._lua.globals().obj = self._lua.table_from(obj, recursive=True)
        answer: Any = self._lua.execute(self._script)
        return str(answer.status), str(answer.message)


def kubectl_wait(obj: Object | None) -> str:
    """Which of `--for=condition=Ready` and `--for=condition=Stalled` returns: `Ready`, `Stalled`, `deleted`, or `-`.

    As k8s.io/kubectl/pkg/cmd/wait: the condition's status is True, and its observedGeneration, if it has one, else the
    status', is not behind the object's generation.
    """
    if obj is None:
        return "deleted"
    for kind in ("Ready", "Stalled"):
        found = condition(obj, kind)
        observed = found.get("observedGeneration", obj.get("status", {}).get("observedGeneration"))
        if found.get("status") == "True" and (observed is None or observed >= obj["metadata"]["generation"]):
            return kind
    return "-"
