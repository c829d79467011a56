"""The programs that make and convert images: umoci, buildah and skopeo, as their users run them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.contract.formats.tree import above, below

SECONDS = 60.0

ALONE = ["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs none /var/lib && exec "$@"', "sh"]
"""Under /var/lib they remember which registry has which blob: here that is forgotten, and nothing of it is left behind."""


def run(*command: str | Path) -> str:
    """Run a program that is to succeed; what it printed."""
    done = subprocess.run([*ALONE, *command], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


def skopeo(source: str, target: str, *options: str) -> None:
    """Copy an image from one place to another."""
    run("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", *options, source, target)


class Umoci:
    """Images in an OCI layout, from a root file system that is changed between two looks at it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._bundle = folder, folder.with_suffix(".bundle")
        run("umoci", "init", "--layout", folder)

    def name(self, tag: str) -> str:
        """As umoci has it; skopeo wants `oci:` before it."""
        return f"{self._folder}:{tag}"

    def repacked(self, tag: str, *, file_for_folder: bool) -> str:
        """The tree, a layer for each step."""
        image = self._begun(tag)
        above(self._bundle / "rootfs", file_for_folder=file_for_folder)
        run("umoci", "repack", "--image", image, self._bundle)
        return image

    def inserted(self, tree: Path) -> str:
        """The tree, its second step by a layer for each file that is inserted or hidden."""
        image = self._begun("inserted")
        insert = ("umoci", "insert", "--image", image)
        for name in ("data/changed", "data/was-file", "data/was-folder"):
            run(*insert, tree / name, f"/{name}")
        run(*insert, "--opaque", tree / "data/replaced", "/data/replaced")
        for name in ("data/gone", "data/gone-folder"):
            run(*insert, "--whiteout", f"/{name}")
        return image

    def _begun(self, tag: str) -> str:
        image = self.name(tag)
        run("umoci", "new", "--image", image)
        run("rm", "-rf", self._bundle)
        run("umoci", "unpack", "--image", image, self._bundle)
        below(self._bundle / "rootfs")
        run("umoci", "repack", "--refresh-bundle", "--image", image, self._bundle)
        run("umoci", "config", "--config.cmd", "sh", "--image", image)
        return image


class Buildah:
    """Images in a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self._own = ("buildah", "--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs")

    def __call__(self, *arguments: str) -> str:
        """Run it."""
        return run(*self._own, *arguments)

    def layered(self) -> None:
        """The tree, a layer for each step: the images `oci` and `docker`."""
        self._commit("scratch", below, "oci", "below")
        self._commit("below", above, "oci", "oci")
        self._commit("below", above, "docker", "docker")

    def push(self, image: str, target: str, *options: str) -> None:
        """Push an image to wherever."""
        self("push", "--tls-verify=false", *options, image, target)

    def push_list(self, image: str, target: str, kind: str) -> None:
        """Push a list of one image; its format is that of the list and, where it is Docker's, of the image in it."""
        self("manifest", "create", target, image)
        self("manifest", "push", "--tls-verify=false", "--all", "--format", kind, target, f"docker://{target}")

    def _commit(self, base: str, change: Callable[[Path], None], kind: str, name: str) -> None:
        container = self("from", "--pull-never", base)
        try:
            change(Path(self("mount", container)))
            self("config", "--cmd", "sh", container)
            self("commit", "--format", kind, container, name)
        finally:
            self("rm", container)
