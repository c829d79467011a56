"""Typical instances as the OCI runtime gets them: golden files, to be read by people.

Each `golden/NAME.yaml` is an instance spec with what matters of its image and its node; `NAME.json` is the OCI spec of its
first container. After a change that is meant: `make golden`, and read what has changed.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.runtime.oci import Device, Host
from controller.runtime.oci.seccomp import default_profile
from controller.runtime.port import ImageConfig
from tests.unit.runtime.made import made

FOLDER = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def golden(name: str) -> dict[str, Any]:
    """The OCI spec of a golden instance; of the filter's many rules only how many, and a digest."""
    given = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    about = given.get("host", {})
    host = Host(**about | {"devices": tuple(Device(**device) for device in about.get("devices", ()))})
    image: dict[str, Any] = {"entrypoint": ("/app",)}
    image |= {key: value if isinstance(value, str) else tuple(value) for key, value in given.get("image", {}).items()}
    found = json.loads(json.dumps(made(given["spec"], ImageConfig(**image), host)))
    if rules := found["linux"].get("seccomp", {}).get("syscalls"):
        digest = hashlib.sha256(json.dumps(rules).encode()).hexdigest()[:16]
        found["linux"]["seccomp"]["syscalls"] = f"{len(rules)} rules, sha256 {digest}"
    return dict(found)


def readable(found: Any) -> str:
    """JSON in lines that a reader can take in: a mount, a namespace or a list of names in one."""
    text = json.dumps(found, indent=2, sort_keys=True)
    for inner in (r"\[[^\[\]{}]*\]", r"\{[^{}]*\}"):
        text = re.sub(inner, lambda match: one_line(match[0]), text)
    return text + "\n"


def one_line(text: str) -> str:
    """The same in one line, where that is short enough."""
    short = " ".join(text.split())
    return short if len(short) <= 160 else text


def same(path: Path, found: Any, *, update: bool) -> None:
    """What is found is what the file holds; `update` writes it there."""
    if update:
        path.write_text(readable(found))
    assert path.exists(), f"{path.name} is missing: run `make golden`, and read it"
    assert json.loads(path.read_text()) == found, f"{path.name} is not what comes out: if that is meant, run `make golden`"


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Whether the files are to be renewed."""
    return bool(request.config.getoption("--update-golden"))


def test_there_are_enough() -> None:
    """At least ten, and no file of an instance that is gone."""
    assert len(NAMES) >= 10
    assert {path.stem for path in FOLDER.glob("*.json")} <= {*NAMES, "default-filter"}


@pytest.mark.parametrize("name", NAMES)
def test_the_oci_spec_is_as_it_was_read(name: str, *, update: bool) -> None:
    """Whoever changes it sees it in the change."""
    same(FOLDER / f"{name}.json", golden(name), update=update)


def test_the_default_filter_is_as_it_was_read(*, update: bool) -> None:
    """The filter of a container with no capability, in full."""
    same(FOLDER / "default-filter.json", default_profile("amd64", ()), update=update)
