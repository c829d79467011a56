"""What is kept between builds, each under a hash of all that decides it."""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from tools.images.layers import Blob, Layer


@dataclass(frozen=True)
class Cache:
    """Folders of things made or fetched before."""

    wheels: Path
    """Wheels by their file names; used only when the hash is right."""
    layers: Path | None
    """Layers; None when all are to be made anew."""

    def layer(self, name: str, key: str) -> Layer | None:
        """The layer kept under the name and the key."""
        if self.layers is None or not (file := self.layers / f"{name}-{key}.tar.gz").exists():
            return None
        data = file.read_bytes()
        return Layer(Blob(data), Blob(gzip.decompress(data)).digest)

    def keep(self, name: str, key: str, layer: Layer) -> None:
        """Keep a layer, in place of older ones of the name."""
        if self.layers is None:
            return
        self.layers.mkdir(parents=True, exist_ok=True)
        file = self.layers / f"{name}-{key}.tar.gz"
        unfinished = self.layers / f".{name}.{os.getpid()}"
        unfinished.write_bytes(layer.blob.data)
        unfinished.replace(file)
        for old in self.layers.glob(f"{name}-*.tar.gz"):
            if old != file:
                old.unlink(missing_ok=True)


def key_of(*parts: bytes) -> str:
    """A hash over all parts, and where each ends."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]
