"""Where images go: a registry, or a folder in OCI layout."""

from __future__ import annotations

import http.client
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tools.images.image import Image
from tools.images.layers import Blob
from tools.progress import ToolError

SECONDS = 30.0


def push(host: str, images: Iterable[Image]) -> dict[str, str]:
    """Push images to a registry that speaks plain HTTP; what it has already is not sent again.

    The API is that of the OCI distribution spec, which serves Docker manifests as well.

    Args:
        host: address and port, for example `127.0.0.1:5000`.
        images: what to push.

    Returns:
        The manifest digest by reference (`127.0.0.1:5000/web:1`).

    Raises:
        ToolError: when the registry refuses something.
        OSError: when it cannot be reached.
    """
    digests = {}
    connection = http.client.HTTPConnection(host, timeout=SECONDS)
    try:
        for image in images:
            for blob in image.blobs:
                _push_blob(connection, image.name, blob)
            path = f"/v2/{image.name}/manifests/{image.tag}"
            _request(connection, "PUT", path, 201, image.manifest.data, image.media_type)
            digests[f"{host}/{image.name}:{image.tag}"] = image.manifest.digest
    finally:
        connection.close()
    return digests


def write_layout(folder: Path, images: Iterable[Image]) -> None:
    """Write images as an OCI layout (OCI image spec, image-layout.md), from which `ctr images import` and skopeo read."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    manifests = []
    for image in images:
        for blob in (image.manifest, *image.blobs):
            (blobs / blob.digest.removeprefix("sha256:")).write_bytes(blob.data)
        manifests.append(
            {
                "mediaType": image.media_type,
                "digest": image.manifest.digest,
                "size": len(image.manifest.data),
                "annotations": {
                    "org.opencontainers.image.ref.name": f"{image.name}:{image.tag}",
                    # The name in full, under which containerd keeps it, and by which the CRI finds `name:tag`.
                    "io.containerd.image.name": f"docker.io/library/{image.name}:{image.tag}",
                },
            }
        )
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}
    (folder / "index.json").write_text(json.dumps(index, indent=2) + "\n")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n')


def write_archive(file: Path, images: Iterable[Image]) -> None:
    """Write images as a tar archive in OCI layout (`oci-archive:` of skopeo), the same every time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory(prefix="moorage-layout-") as folder, tarfile.open(unfinished, "w") as archive:
            write_layout(Path(folder), images)
            for path in sorted(Path(folder).rglob("*")):
                archive.add(path, path.relative_to(folder), recursive=False, filter=_anonymous)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def _push_blob(connection: http.client.HTTPConnection, name: str, blob: Blob) -> None:
    connection.request("HEAD", f"/v2/{name}/blobs/{blob.digest}")
    response = connection.getresponse()
    response.read()
    if response.status == 200:
        return
    location = _request(connection, "POST", f"/v2/{name}/blobs/uploads/", 202)
    upload = urlsplit(location)
    query = "&".join(part for part in (upload.query, urlencode({"digest": blob.digest})) if part)
    _request(connection, "PUT", f"{upload.path}?{query}", 201, blob.data, "application/octet-stream")


def _request(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    expected: int,
    body: bytes = b"",
    media_type: str = "",
) -> str:
    """Send a request; returns the Location of the answer, which must have the `expected` status."""
    headers = {"Content-Length": str(len(body))} | ({"Content-Type": media_type} if media_type else {})
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != expected:
        raise ToolError(f"{method} {path}: the registry says {response.status} {answer[:500].decode(errors='replace')}")
    return response.getheader("Location", "")
