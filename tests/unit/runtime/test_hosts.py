"""What is wrong with a hosts.toml is told by file, host and key: containerd itself goes on as if there were none."""

from pathlib import Path

import pytest

from controller.runtime.containerd.image.hosts import fault, folder

FINE = {
    "none": "",
    "a server": 'server = "https://registry.test"',
    "a server without a scheme": 'server = "registry.test:5000"',
    "plain HTTP": 'server = "http://registry.test:5000/v2"',
    "mirrors": '[host."https://a.test"]\ncapabilities = ["pull", "resolve"]\n[host."http://b.test:5000"]\noverride_path = true',
    "an authority": 'server = "https://a.test"\nca = "ca.crt"',
    "several": 'ca = ["ca.crt", "ca.crt"]\nclient = [["ca.crt", "ca.crt"], "ca.crt"]',
    "a header": '[host."https://a.test"]\ndial_timeout = "3s"\n[host."https://a.test".header]\nx-some = ["a", "b"]',
}

WRONG = {
    "no TOML": ("server = https://a.test", "is no TOML, so that containerd does as if there were none: Invalid value"),
    "an unknown key": ('[hosts."https://a.test"]', "'hosts' means nothing to containerd"),
    "an unknown key of a host": (
        '[host."https://a.test"]\ncapability = []',
        "[host.\"https://a.test\"]: 'capability' means nothing",
    ),
    "an unknown capability": (
        '[host."https://a.test"]\ncapabilities = ["fetch"]',
        "capabilities is no list of pull, push, referrers",
    ),
    "capabilities that are a text": ('capabilities = "pull"', "capabilities is no list of"),
    "no file": ('ca = "missing.crt"', "ca: there is no file {base}/missing.crt"),
    "no key": ('client = [["ca.crt", "/none.key"]]', "client: there is no file /none.key"),
    "a number for a file": ("ca = 5", "ca names no files"),
    "no address": ('server = "https://"', "server is no address such as https://mirror:5000"),
    "no port": ('server = "https://a.test:port"', "server is no address"),
    "another scheme": ('server = "httpx://a.test"', "server is no address"),
    "a mirror that is no address": ('[host."https://"]', '[host."https://"] is no address'),
    "a host that is no table": ('host = "https://a.test"', "'host' is no table"),
    "a text for a switch": ('skip_verify = "yes"', "skip_verify is no true or false"),
}


def configured(tmp_path: Path, text: str) -> Path:
    """The folder of a registry."""
    base = tmp_path / "registry.test"
    base.mkdir()
    (base / "hosts.toml").write_text(text)
    (base / "ca.crt").touch()
    return base


@pytest.mark.parametrize("case", FINE)
def test_what_is_fine_is_not_spoken_of(tmp_path: Path, case: str) -> None:
    """As containerd documents it."""
    configured(tmp_path, FINE[case])
    assert fault(str(tmp_path), "registry.test") == ""


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, case: str) -> None:
    """With the file."""
    text, wanted = WRONG[case]
    base = configured(tmp_path, text)
    told = fault(str(tmp_path), "registry.test")
    assert told.startswith(f"{base}/hosts.toml")
    assert wanted.format(base=base) in told


def test_the_folder_is_the_one_that_containerd_takes(tmp_path: Path) -> None:
    """By host and port in either form, or else `_default`."""
    assert folder(str(tmp_path), "registry.test:5000") is None
    for name in ("_default", "registry.test:5000", "registry.test_5000_"):
        (tmp_path / name).mkdir()
        assert folder(str(tmp_path), "registry.test:5000") == tmp_path / name
    assert folder(str(tmp_path), "registry.test") == tmp_path / "_default"
    assert folder(str(tmp_path / "none"), "registry.test") is None
    assert fault(str(tmp_path), "registry.test") == "", "a folder of certificates alone is fine"


def test_one_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder in its place, for instance; and what is no text."""
    base = configured(tmp_path, "")
    (base / "hosts.toml").write_bytes(b"\xff\xfe")
    assert "is no TOML" in fault(str(tmp_path), "registry.test")
    (base / "hosts.toml").unlink()
    (base / "hosts.toml").mkdir()
    assert "cannot be read: Is a directory" in fault(str(tmp_path), "registry.test")
