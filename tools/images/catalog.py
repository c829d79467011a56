"""The test images, all made from Debian's static busybox.

| reference | what it is |
|---|---|
| `busybox:1` | a shell and no entrypoint; OCI manifest |
| `busybox:docker` | the same as a Docker schema 2 manifest |
| `web:1`, `web:2` | busybox httpd on `$PORT` (8080), with one page each; stops within milliseconds |
| `pause:1` | does nothing, for ever: what a pod's sandbox is made from |
| `links:1` | two layers over busybox; links /outside to /srv, /up upwards, /within; /data has files and a program |
| `user:1` | a named user and group, environment, working folder, entrypoint with arguments, STOPSIGNAL SIGINT |
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from tools.images.image import Format, Image
from tools.images.layers import Entry, File, Folder, Layer, Link, make_layer
from tools.progress import ToolError

BUSYBOX = Path("/bin/busybox")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
app:x:1001:50:app:/home/app:/bin/sh
"""
GROUP = "root:x:0:\nstaff:x:50:\nextra:x:2001:app\nnogroup:x:65534:\n"

# The kernel gives PID 1 no default action for SIGTERM, and httpd sets none, so a shell takes the signal for it.
SERVE = """\
#!/bin/sh
echo "serving $(pwd) on port ${PORT:=8080}"
httpd -f -v -p "$PORT" -h . &
trap 'kill $!; exit 0' TERM INT
wait $!
"""

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Moored.</title>
<style>
  body {{ margin: 0; min-height: 100vh; display: grid; place-content: center; text-align: center;
         background: {colour}; color: #fff; font: 1.2rem/1.6 system-ui, sans-serif }}
  h1 {{ font-size: 4rem; margin: 0 }}
</style>
<h1>Moored.</h1>
<p>{text}</p>
</html>
"""

# Says what it was started with, then waits for the signal which the image asks for.
SHOW = """\
#!/bin/sh
echo "user=$(id -un):$(id -gn) folder=$(pwd) greeting=$GREETING arguments=$*"
trap 'echo "stopped by SIGINT"; exit 0' INT
sleep 2147483647 &
wait $!
"""


def all_images() -> list[Image]:
    """All images of the catalog.

    Raises:
        ToolError: when busybox-static is not installed.
    """
    base = _base()
    shell: dict[str, object] = {"Cmd": ["sh"], "Env": [PATH]}
    return [
        Image("busybox", "1", [base], shell),
        Image("busybox", "docker", [base], shell, Format.DOCKER),
        _web("1", "#12557a", "This page comes from a container that runs right on its node."),
        _web("2", "#1d6b4f", "The second edition: updated in place, berth and lines kept."),
        Image("pause", "1", [base], {"Entrypoint": ["sleep", "2147483647"], "Env": [PATH]}),
        _links(),
        _user(),
    ]


def _web(tag: str, colour: str, text: str) -> Image:
    page = PAGE.format(colour=colour, text=text).encode()
    tree: dict[str, Entry] = {"bin/serve": File(SERVE.encode(), 0o755), "www/index.html": File(page)}
    config: dict[str, object] = {
        "Entrypoint": ["/bin/serve"],
        "Env": [PATH, "PORT=8080"],
        "ExposedPorts": {"8080/tcp": {}},
        "WorkingDir": "/www",
    }
    return Image("web", tag, [_base(), make_layer(tree)], config)


def _links() -> Image:
    below: dict[str, Entry] = {"data/file": File(b"covered\n"), "data/gone": File(b"below\n")}
    above: dict[str, Entry] = {
        "data/file": File(b"from the image\n"),
        "data/program": File(b"#!/bin/sh\ntrue\n", 0o755),
        "outside": Link("/srv"),
        "up": Link("../../../../../../../../../../srv"),
        "within": Link("data/file"),
    }
    return Image("links", "1", [_base(), make_layer(below), make_layer(above)], {"Cmd": ["sh"], "Env": [PATH]})


def _user() -> Image:
    tree: dict[str, Entry] = {"bin/show": File(SHOW.encode(), 0o755), "home/app": Folder(0o750, (1001, 50))}
    config: dict[str, object] = {
        "User": "app:staff",
        "Env": [PATH, "GREETING=ahoy"],
        "WorkingDir": "/home/app",
        "Entrypoint": ["/bin/show"],
        "Cmd": ["one", "two words"],
        "StopSignal": "SIGINT",
    }
    return Image("user", "1", [_base(), make_layer(tree)], config)


@cache
def _base() -> Layer:
    """A root file system with busybox, a link to it for each of its commands, and the usual folders."""
    if not BUSYBOX.exists():
        raise ToolError(f"{BUSYBOX} is missing: install busybox-static (`make tools` does)")
    tree: dict[str, Entry] = {
        "bin/busybox": File(BUSYBOX.read_bytes(), 0o755),
        "etc/group": File(GROUP.encode()),
        "etc/passwd": File(PASSWD.encode()),
        "root": Folder(0o700),
        "tmp": Folder(0o1777),
        "var/tmp": Folder(0o1777),
    }
    tree |= {name: Folder() for name in ("dev", "home", "proc", "run", "sys", "usr/bin", "usr/sbin")}
    tree |= {f"bin/{applet}": Link("busybox") for applet in _applets() if applet != "busybox"}
    return make_layer(tree)


def _applets() -> list[str]:
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, timeout=10, check=True)
    return listed.stdout.split()
