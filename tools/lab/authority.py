"""A private certificate authority for servers of tests: certificates that are fine, expired, or of another host."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from tools.lab.openssl import NEW_KEY, openssl


class Authority:
    """An authority that no system knows, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Make its key and its certificate."""
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        openssl("req", "-x509", "-nodes", "-days", "30", *NEW_KEY, "-subj", "/CN=private authority", *_to(self._key, self.ca))

    @property
    def ca(self) -> Path:
        """Its certificate: what clients are to trust."""
        return self.folder / "ca.crt"

    @property
    def _key(self) -> Path:
        return self.folder / "ca.key"

    def server(self, name: str, *, hosts: Sequence[str] = ("IP:127.0.0.1",), expired: bool = False) -> ssl.SSLContext:
        """What a server needs to speak TLS.

        Args:
            name: of its files.
            hosts: whom the certificate is for, as openssl has it (`DNS:localhost`).
            expired: it ended yesterday.
        """
        made, key = self._signed(name, f"subjectAltName = {','.join(hosts)}", days="-1" if expired else "30")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made, key)
        return context

    def client(self, name: str) -> tuple[Path, Path]:
        """The certificate of a client, and its key."""
        return self._signed(name, "extendedKeyUsage = clientAuth")

    def _signed(self, name: str, extension: str, days: str = "30") -> tuple[Path, Path]:
        key, request, made = (self.folder / f"{name}.{suffix}" for suffix in ("key", "csr", "crt"))
        openssl("req", "-new", "-nodes", *NEW_KEY, "-subj", f"/CN={name}", *_to(key, request))
        extensions = self.folder / f"{name}.cnf"
        extensions.write_text(f"{extension}\n")
        signed: list[str | Path] = ["-in", request, "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial"]
        openssl("x509", "-req", *signed, "-days", days, "-extfile", extensions, "-out", made)
        return made, key


def _to(key: Path, out: Path) -> list[str | Path]:
    return ["-keyout", key, "-out", out]
