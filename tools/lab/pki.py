"""Keys and certificates of the embedded control plane, made with openssl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.lab.openssl import NEW_KEY, openssl

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
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
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
        self._config.write_text(EXTENSIONS.format(address=self.address))
        self._certify("authority", "/CN=moorage-lab", self.ca, self.ca_key)
        self._certify("server", "/CN=kube-apiserver", self.server, self.server_key, *self._authority)
        openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", self.service_accounts)

    def client(self, user: str, groups: Sequence[str] = ()) -> tuple[Path, Path]:
        """The certificate and the key of a client who is known to the API server by them; made when they are not there."""
        stem = self.folder / "clients" / user.replace(":", "_").replace("/", "_")
        certificate, key = stem.with_name(f"{stem.name}.crt"), stem.with_name(f"{stem.name}.key")
        if not certificate.exists():
            stem.parent.mkdir(mode=0o700, exist_ok=True)
            subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
            self._certify("client", subject, certificate, key, *self._authority)
        return certificate, key

    @property
    def _config(self) -> Path:
        return self.folder / "openssl.cnf"

    @property
    def _authority(self) -> list[str | Path]:
        return ["-CA", self.ca, "-CAkey", self.ca_key]

    def _certify(self, extensions: str, subject: str, certificate: Path, key: Path, *authority: str | Path) -> None:
        make: list[str | Path] = ["req", "-x509", "-config", self._config, "-days", DAYS, "-nodes", *NEW_KEY]
        make += ["-extensions", extensions, "-subj", subject]
        openssl(*make, *authority, "-keyout", key, "-out", certificate)
