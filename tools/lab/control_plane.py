"""An embedded Kubernetes control plane: etcd, kube-apiserver, kube-controller-manager, and kube-scheduler where it has pods."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from tools.lab.command import Kubectl, tool
from tools.lab.component import Component, answers
from tools.lab.pki import Pki
from tools.lab.process import Process

READY_SECONDS = 60.0

CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
    "certificatesigningrequest-signing-controller",
    "certificatesigningrequest-approving-controller",
    "validatingadmissionpolicy-status-controller",
)
"""What custom resources need. The others would only cost time where there are no pods, no services and no kubelets."""

POD_CONTROLLERS = (
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "job-controller",
    "node-lifecycle-controller",
    "replicaset-controller",
)
"""What Deployments, DaemonSets and Jobs need besides. Nodes: a new one is tainted until its controller sees it Ready."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class ControlPlane(Component):
    """A control plane whose admin is known by a token; ready some 4 s after its start."""

    def __init__(
        self,
        state: Path,
        *,
        audit: bool = False,
        crds: Sequence[Path] = (),
        address: str = "127.0.0.1",
        pods: bool = False,
    ) -> None:
        """Prepare the processes.

        Args:
            state: the folder for everything that it keeps.
            audit: write an audit log of every request's metadata (`audit_log`).
            crds: files or folders with CustomResourceDefinitions to install before kube-controller-manager starts. Its
                garbage collector looks for new kinds only every 30 s, so those installed later are collected late.
            address: where the API server listens; another one than the loopback's for nodes of their own.
            pods: run kube-scheduler too, and the controllers that make and place pods.
        """
        super().__init__(state)
        self._audit = audit
        self._crds = tuple(crds)
        self._address = address
        self._pods = pods
        self._pki = Pki(self.state / "pki", address)
        self.url = f"https://{address}:{self.port('apiserver')}"
        self.kubeconfig = self.state / "kubeconfig"
        self.kubectl = Kubectl(self.kubeconfig, self.state)
        self.audit_log = self.state / "logs" / "audit.log"
        self.etcd = Process("etcd", self._etcd(), self.state)
        self.apiserver = Process("kube-apiserver", self._kube_apiserver(), self.state)
        self.controller_manager = Process("kube-controller-manager", self._kube_controller_manager(), self.state)
        self.scheduler = Process("kube-scheduler", self._kube_scheduler(), self.state) if pods else None

    def start(self) -> None:
        """Start all of them, each when the one before it is ready."""
        self._pki.make()
        self._write_files()
        self.etcd.start()
        self.etcd.wait_ready(lambda: answers(f"{self._etcd_url}/health"), READY_SECONDS)
        self.start_apiserver()
        if self._crds and not self.controller_manager.running:
            files = [argument for path in self._crds for argument in ("--filename", str(path))]
            self.kubectl("apply", "--server-side", *files)
            self.kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)
        self.controller_manager.start()
        port = self.port("controller-manager")
        self.controller_manager.wait_ready(lambda: answers(f"https://127.0.0.1:{port}/healthz"), READY_SECONDS)
        if self.scheduler is not None:
            self.scheduler.start()
            port = self.port("scheduler")
            self.scheduler.wait_ready(lambda: answers(f"https://127.0.0.1:{port}/healthz"), READY_SECONDS)

    def start_apiserver(self) -> None:
        """Start the API server, again under the same address and on the same data, and wait until it is ready."""
        self.apiserver.start()
        self.apiserver.wait_ready(lambda: answers(f"{self.url}/readyz", self.token), READY_SECONDS)

    def stop_apiserver(self) -> None:
        """Take the API server away at once, as an outage does: open watches break, new connections are refused."""
        self.apiserver.kill()

    @property
    def token(self) -> str:
        """The admin's bearer token."""
        return (self.state / "tokens.csv").read_text().partition(",")[0]

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signed the API server's, in PEM."""
        return self._pki.ca

    def certificate(self, user: str, groups: Sequence[str] = ()) -> dict[str, str]:
        """The `user` of a kubeconfig that is known to the API server by a client certificate."""
        certificate, key = self._pki.client(user, groups)
        return {"client-certificate": str(certificate), "client-key": str(key)}

    def service_account(self, name: str, namespace: str, *options: str) -> dict[str, str]:
        """The `user` of a kubeconfig with a token of a ServiceAccount; options are those of `kubectl create token`."""
        made = self.kubectl("create", "token", name, "--namespace", namespace, *options)
        return {"token": made.stdout.strip()}

    def kubeconfig_path(self, name: str) -> Path:
        """Where the kubeconfig called `name` is, or will be."""
        return self.state / f"{name}.kubeconfig"

    def kubeconfig_of(self, name: str, user: dict[str, str]) -> Path:
        """Write the kubeconfig of somebody else than the admin."""
        path = self.kubeconfig_path(name)
        path.touch(mode=0o600)
        path.write_text(json.dumps(self._kubeconfig(name, user), indent=2) + "\n")
        return path

    @property
    def processes(self) -> list[Process]:
        """etcd, kube-apiserver, kube-controller-manager, and kube-scheduler if there are pods."""
        found = [self.etcd, self.apiserver, self.controller_manager, self.scheduler]
        return [process for process in found if process is not None]

    @property
    def _etcd_url(self) -> str:
        return f"http://127.0.0.1:{self.port('etcd')}"

    def _etcd(self) -> list[str | Path]:
        peer = f"http://127.0.0.1:{self.port('etcd-peer')}"
        return [
            tool("etcd"),
            f"--data-dir={self.state / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _kube_apiserver(self) -> list[str | Path]:
        arguments: list[str | Path] = [
            tool("kube-apiserver"),
            f"--etcd-servers={self._etcd_url}",
            f"--bind-address={self._address}",
            f"--advertise-address={self._address}",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port('apiserver')}",
            f"--cert-dir={self._pki.folder}",
            f"--tls-cert-file={self._pki.server}",
            f"--tls-private-key-file={self._pki.server_key}",
            f"--client-ca-file={self._pki.ca}",
            f"--token-auth-file={self.state / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-account-issuer={self.url}",
            f"--service-account-key-file={self._pki.service_accounts}",
            f"--service-account-signing-key-file={self._pki.service_accounts}",
            "--service-cluster-ip-range=10.96.0.0/24",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
        ]
        if self._audit:
            arguments += [f"--audit-policy-file={self.state / 'audit.json'}", f"--audit-log-path={self.audit_log}"]
        return arguments

    def _kube_controller_manager(self) -> list[str | Path]:
        return [
            tool("kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port('controller-manager')}",
            f"--cert-dir={self._pki.folder}",
            f"--controllers={','.join(CONTROLLERS + (POD_CONTROLLERS if self._pods else ()))}",
            "--leader-elect=false",
            f"--root-ca-file={self._pki.ca}",
            f"--service-account-private-key-file={self._pki.service_accounts}",
            f"--cluster-signing-cert-file={self._pki.ca}",
            f"--cluster-signing-key-file={self._pki.ca_key}",
            # The default of 20 requests a second would make the deletion of many objects a test of that limit.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]

    def _kube_scheduler(self) -> list[str | Path]:
        return [
            tool("kube-scheduler"),
            f"--kubeconfig={self.kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port('scheduler')}",
            f"--cert-dir={self._pki.folder}",
            "--leader-elect=false",
        ]

    def _write_files(self) -> None:
        tokens = self.state / "tokens.csv"
        if not tokens.exists():
            tokens.touch(mode=0o600)
            tokens.write_text(f'{secrets.token_hex(16)},admin,admin,"system:masters"\n')
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(self._kubeconfig("admin", {"token": self.token}), indent=2) + "\n")
        (self.state / "audit.json").write_text(json.dumps(AUDIT_POLICY))

    def _kubeconfig(self, name: str, user: dict[str, str]) -> dict[str, object]:
        """A kubeconfig; JSON is YAML too."""
        cluster = {"server": self.url, "certificate-authority": str(self._pki.ca)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        }
