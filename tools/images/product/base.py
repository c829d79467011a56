"""The base layer: what Python needs of Debian, and nothing else; no shell, no package manager.

mmdebstrap resolves, fetches, verifies and extracts the packages of `packages.txt` from wherever this machine gets its own. They
are not configured, since their scripts would need the tools that are to be left out; the few files that the scripts would have
made are written here.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tools.images.layers import Entry, File, Folder, Layer, Link, make_layer
from tools.images.product.cache import Cache, key_of
from tools.images.product.root import compile_python, read_tree, write_tree
from tools.progress import ToolError, step

HERE = Path(__file__).resolve().parent
SUITE = "bookworm"
HOOKS = Path("/usr/share/mmdebstrap/hooks/merged-usr")
SECONDS = 600.0

KEPT = re.compile(
    r"""
    (bin|sbin|lib\w*)$                              # links into usr
    | etc/(debian_version|gss|host\.conf|mime\.types|netconfig|os-release|ssl|services|protocols)(/|$)
    | usr/bin/python3\.11$
    | usr/lib/(os-release$|ssl(/|$)|locale(/|$))
    | usr/lib/[^/]+-linux-gnu/(?!gconv|engines|krb5)
    | usr/lib/python3(\.11)?/(?!lib2to3|pydoc_data|test(/|$))
    | usr/lib64?/ld-linux
    | usr/share/(common-licenses/|doc/[^/]+/copyright$|zoneinfo/(?!right|posix))
    | var/lib/dpkg/status\.d/                       # from which scanners know what is in here
    """,
    re.VERBOSE,
)
"""What stays of the packages, by path from the root."""

PASSWD = """\
root:x:0:0:root:/root:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
moorage:x:65532:65532:moorage:/nonexistent:/usr/sbin/nologin
"""
GROUP = "root:x:0:\nnogroup:x:65534:\nmoorage:x:65532:\n"

RECORD = """set -eu
mkdir -p "$1/var/lib/dpkg/status.d"
for package in "$1"/var/cache/apt/archives/*.deb; do
  dpkg-deb --field "$package" > "$1/var/lib/dpkg/status.d/$(dpkg-deb --field "$package" Package)"
done
"""
"""A hook of mmdebstrap: note each package in the way that scanners know from other images without dpkg."""


def wanted_packages() -> list[str]:
    """The packages of `packages.txt`."""
    lines = (line.partition("#")[0].strip() for line in (HERE / "packages.txt").read_text().splitlines())
    return [line for line in lines if line]


def base_layer(scratch: Path, cache: Cache) -> Layer:
    """The base layer, from the cache when nothing has changed that it is made from.

    Args:
        scratch: a folder for work in progress.
        cache: layers made before.

    Raises:
        ToolError: when mmdebstrap fails, with the end of what it says.
    """
    key = _key()
    kept = cache.layer("base", key)
    if kept is not None:
        return kept
    packages = scratch / "packages"
    with step(f"base: Debian {SUITE} with {', '.join(wanted_packages())}"):
        _bootstrap(packages)
    root = scratch / "base"
    with step("base: bytecode of Python's own modules"):
        write_tree(root, _select(packages))
        compile_python(root, "/usr/lib/python3.11")
    with step("base: layer"):
        layer = make_layer(read_tree(root))
    cache.keep("base", key, layer)
    return layer


def _select(packages: Path) -> dict[str, Entry]:
    """What the image has of the extracted packages, and the files that their scripts would have made."""
    tree = read_tree(packages, keep=KEPT)
    authorities = packages / "usr/share/ca-certificates"
    bundle = b"".join(path.read_bytes().strip() + b"\n" for path in sorted(authorities.rglob("*.crt")))
    made: dict[str, Entry] = {
        "etc/group": File(GROUP.encode()),
        "etc/nsswitch.conf": File(b"passwd: files\ngroup: files\nhosts: files dns\n"),
        "etc/passwd": File(PASSWD.encode()),
        "etc/ssl/certs/ca-certificates.crt": File(bundle),
        "root": Folder(0o700),
        "tmp": Folder(0o1777),
        "usr/bin/python3": Link("python3.11"),
    }
    return tree | made | {name: Folder() for name in ("dev", "proc", "run", "sys", "var/lib", "var/log")}


def _bootstrap(root: Path) -> None:
    command = ["mmdebstrap", "--mode=root", "--variant=extract", "--format=directory", f"--hook-dir={HOOKS}"]
    command += [f"--extract-hook={RECORD}", f"--include={','.join(wanted_packages())}", SUITE, str(root)]
    done = subprocess.run(
        [*command, *map(str, _sources())],
        env=os.environ | {"LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ToolError("mmdebstrap failed:\n" + "\n".join(done.stdout.splitlines()[-15:]))


def _sources() -> Iterator[Path]:
    """This machine's own package sources, as far as they are about the suite."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    found = [path for path in files if path.suffix in {".list", ".sources"} and path.exists() and SUITE in path.read_text()]
    if not found:
        raise ToolError(f"no source of Debian {SUITE} in /etc/apt/sources.list or /etc/apt/sources.list.d: add one")
    yield from found


def _key() -> str:
    """A hash over what decides the base: this code, the packages, the sources and the state of their archives."""
    code = [HERE / name for name in ("base.py", "packages.txt", "root.py")]
    files = (*code, *_sources(), *sorted(Path("/var/lib/apt/lists").glob("*InRelease")))
    return key_of(*(path.read_bytes() for path in files))
