"""Whether a registry has a repository at all: asked only to tell people whether its name or the tag is wrong.

containerd asks for a manifest by HEAD, and an answer to that says nothing but 404. So the registry is asked once more, by a
request of our own: for the repository's tags (OCI distribution-spec, "Content Discovery"). Nothing depends on the answer but
the words of a message, so what is configured by hosts.toml, or wants credentials, is not asked.
"""

import asyncio
import http.client
import urllib.error
import urllib.request
from typing import Final

from controller.runtime.containerd.image.hosts import folder
from controller.runtime.reference import Reference

SECONDS: Final = 3.0
_MOST_BYTES: Final = 4096


async def has_repository(reference: Reference, scheme: str, hosts_dir: str) -> bool | None:
    """Whether the registry has the repository; None when it does not say.

    Args:
        reference: of an image that it does not have.
        scheme: `http` or `https`.
        hosts_dir: where registries are configured.
    """
    if folder(hosts_dir, reference.domain) is not None or reference.domain == "docker.io":
        return None
    url = f"{scheme}://{reference.domain}/v2/{reference.path}/tags/list?n=1"
    try:
        return await asyncio.to_thread(_asked, url)
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _asked(url: str) -> bool | None:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - http or https, by the caller
            return True if answer.status == http.HTTPStatus.OK else None
    except urllib.error.HTTPError as error:
        with error:
            unknown = error.code == http.HTTPStatus.NOT_FOUND and b"NAME_UNKNOWN" in error.read(_MOST_BYTES)
            return False if unknown else None
