"""Keys and certificates of the embedded control plane, made with openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.progress import ToolError

SECONDS = 30.0
DAYS = "3650"

# RFC 5280 extensions; Python 3.13 and newer refuse chains without key identifiers.
EXTENSIONS = """\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
subjectAltName = IP:{address}, IP:127.0.0.1, DNS:localhost, DNS:kubernetes, DNS:kubernetes.default.svc
"""


@dataclass(frozen=True)
class Pki:
    """The files of a control plane's keys, all in one folder."""

    folder: Path
    address: str = "127.0.0.1"
    """Where the API server listens, besides names that are in its certificate in any case."""

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signs the server's and, by the CSR API, clients' certificates."""
        return self.folder / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """The authority's key."""
        return self.folder / "ca.key"

    @property
    def server(self) -> Path:
        """The API server's certificate, for its address, 127.0.0.1 and localhost."""
        return self.folder / "server.crt"

    @property
    def server_key(self) -> Path:
        """The API server's key."""
        return self.folder / "server.key"

    @property
    def service_accounts(self) -> Path:
        """The key that signs service account tokens."""
        return self.folder / "service-accounts.key"

    def make(self) -> None:
        """Make all of them, unless they are there."""
        if self.service_accounts.exists():
            return
        self.folder.mkdir(mode=0o700, exist_ok=True)
        config = self.folder / "openssl.cnf"
        config.write_text(EXTENSIONS.format(address=self.address))
        certify = ["req", "-x509", "-config", str(config), "-days", DAYS, "-nodes", "-newkey", "ec"]
        certify += ["-pkeyopt", "ec_paramgen_curve:prime256v1"]
        authority = ["-extensions", "authority", "-subj", "/CN=moorage-lab"]
        _openssl(*certify, *authority, "-keyout", self.ca_key, "-out", self.ca)
        server = ["-extensions", "server", "-subj", "/CN=kube-apiserver", "-CA", str(self.ca), "-CAkey", str(self.ca_key)]
        _openssl(*certify, *server, "-keyout", self.server_key, "-out", self.server)
        _openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", self.service_accounts)


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        raise ToolError(f"openssl {arguments[0]} failed:\n{done.stderr.strip()}")
