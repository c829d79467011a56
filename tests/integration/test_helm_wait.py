"""`helm install --wait` of a chart with a workload: what Helm 4 waits for, and that Helm 3 waits for nothing."""

import os
import subprocess
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import Site, condition, ready, reason
from tools.lab.command import tool

CHART = """\
apiVersion: v2
name: tiny
version: 0.1.0
"""

TEMPLATE = """\
apiVersion: moorage.dev/v1alpha1
kind: ContainerWorkload
metadata:
  name: {{ .Release.Name }}
spec:
  update:
    progressDeadlineSeconds: 3
  template:
    spec:
      hostNetwork: true
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: {{ .Values.image }}
          command: ["sleep", "1000000"]
"""

WAIT_SECONDS = 30
"""What Helm is told; a workload fails long before that."""


class Helm:
    """Both Helms, on one chart."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._chart = folder / "tiny"
        (self._chart / "templates").mkdir(parents=True)
        (self._chart / "Chart.yaml").write_text(CHART)
        (self._chart / "templates" / "workload.yaml").write_text(TEMPLATE)
        self._env = os.environ | {f"HELM_{kind}_HOME": str(folder / kind) for kind in ("CACHE", "CONFIG", "DATA")}

    def __call__(self, helm: str, command: str, release: str, tag: str = "") -> tuple[subprocess.CompletedProcess[str], float]:
        """Run it with --wait, with that tag of the image; also how long it took."""
        image = f"image={self._site.registry.host}/busybox:{tag}"
        more = [str(self._chart), "--set", image] if command != "uninstall" else ["--cascade", "foreground"]
        options = ["--kubeconfig", str(self._site.plane.kubeconfig), "--wait", "--timeout", f"{WAIT_SECONDS}s"]
        words = [str(tool(helm)), command, release, *more, *options]
        began = time.monotonic()
        done = subprocess.run(words, env=self._env, capture_output=True, text=True, timeout=60, check=False)
        return done, time.monotonic() - began


@pytest.mark.timeout(150)
def test_helm_4_waits_for_success_and_failure_and_helm_3_for_neither(site: Site, tmp_path: Path) -> None:
    """Helm 4 returns when a workload is ready, and fails with its message when it has failed; to Helm 3 all is deployed."""
    helm = Helm(site, tmp_path)
    with ThreadPoolExecutor() as pool:

        def begin(*words: str) -> Future[tuple[subprocess.CompletedProcess[str], float]]:
            return pool.submit(helm, *words)

        bad, bad3, good = (
            begin("helm4", "install", "bad", "none"),
            begin("helm", "install", "bad3", "none"),
            begin("helm4", "install", "good", "1"),
        )

        done, _ = good.result()
        assert done.returncode == 0, done.stderr
        assert ready(site.workloads()["good"])

        done, took = bad3.result()
        assert done.returncode == 0, done.stderr
        assert "STATUS: deployed" in done.stdout
        assert took < WAIT_SECONDS

        done, took = bad.result()
        assert done.returncode != 0
        assert "status: Failed" in done.stderr
        assert "busybox:none" in done.stderr, "the message names the cause"
        assert took < WAIT_SECONDS, "it fails because the workload has failed, not because time is over"
    found = site.workloads(lambda o: all(condition(o[name], "Stalled") for name in ("bad", "bad3")))
    assert {reason(found[name]) for name in ("bad", "bad3")} == {"ProgressDeadlineExceeded"}

    done, took = helm("helm4", "upgrade", "good", "none")
    assert done.returncode != 0
    assert "status: Failed" in done.stderr
    assert site.containers(), "the old container runs on"
    done, _ = helm("helm4", "upgrade", "good", "docker")
    assert done.returncode == 0, done.stderr
    assert ready(site.workloads()["good"])

    for version, release in (("helm4", "bad"), ("helm", "bad3"), ("helm4", "good")):
        done, _ = helm(version, "uninstall", release)
        assert done.returncode == 0, done.stderr
        assert release not in site.workloads()
    assert not site.instances(), "a foreground deletion takes until the nodes have let go"
    assert site.containers() == {}
