"""What is wrong with a registry's hosts.toml: containerd says so in its own log alone, and goes on as if there were none.

It is looked at when a pull has failed, to tell people. Source: containerd's docs/hosts.md and core/remotes/docker/config.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

_CAPABILITIES: Final = {"pull", "resolve", "push", "referrers"}
_OF_HOST: Final = {"capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout"}
_TYPES: Final[Mapping[str, type]] = {"skip_verify": bool, "override_path": bool, "dial_timeout": str, "header": dict}


def folder(hosts_dir: str, domain: str) -> Path | None:
    """Where containerd looks for what is configured of a registry; None when nothing is."""
    host, _, port = domain.rpartition(":")
    names = (*((f"{host}_{port}_",) if host else ()), domain, "_default")
    return next((found for name in names if (found := Path(hosts_dir) / name).exists()), None)


def fault(hosts_dir: str, domain: str) -> str:
    """What is wrong with the hosts.toml that is for a registry, for people; empty when nothing is, or when there is none."""
    found = folder(hosts_dir, domain)
    if found is None:
        return ""
    path = found / "hosts.toml"
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return ""
    except OSError as exc:
        return f"{path} cannot be read: {exc.strerror}"
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        return f"{path} is no TOML, so that containerd does as if there were none: {exc}"
    wrong = next(_document(document, found), "")
    return f"{path}: {wrong}" if wrong else ""


def _document(document: Mapping[str, Any], base: Path) -> Iterator[str]:
    for key in document.keys() - _OF_HOST - {"server", "host"}:
        yield f"{key!r} means nothing to containerd"
    yield from _server(document.get("server", ""), "server")
    yield from _host(document, base, "")
    hosts = document.get("host", {})
    if not isinstance(hosts, dict):
        yield "'host' is no table: write [host.\"https://mirror\"]"
        return
    for name, host in hosts.items():
        place = f'[host."{name}"]: '
        yield from _server(name, place.rstrip(": "))
        if not isinstance(host, dict):
            yield f"{place}is no table"
            continue
        for key in host.keys() - _OF_HOST:
            yield f"{place}{key!r} means nothing to containerd"
        yield from _host(host, base, place)


def _server(server: Any, place: str) -> Iterator[str]:
    if not isinstance(server, str):
        yield f"{place} is no text"
        return
    try:
        parts = urlsplit(server if server.startswith("http") else f"https://{server}")
        usable = not server or (parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        usable = False
    if not usable:
        yield f"{place} is no address such as https://mirror:5000"


def _host(host: Mapping[str, Any], base: Path, place: str) -> Iterator[str]:
    capabilities = host.get("capabilities", [])
    if not isinstance(capabilities, list) or not {str(c).lower() for c in capabilities} <= _CAPABILITIES:
        yield f"{place}capabilities is no list of {', '.join(sorted(_CAPABILITIES))}"
    for key, kind in _TYPES.items():
        if key in host and not isinstance(host[key], kind):
            yield f"{place}{key} is no {({bool: 'true or false', str: 'text', dict: 'table'})[kind]}"
    for key in ("ca", "client"):
        for file in _files(host.get(key, [])):
            if file is None:
                yield f"{place}{key} names no files"
            elif not (base / file).is_file():
                yield f"{place}{key}: there is no file {base / file}"


def _files(named: Any) -> Iterator[str | None]:
    """The files that are named: one, several, or pairs of certificate and key; None for what names none."""
    if isinstance(named, str):
        yield named
    elif isinstance(named, list):
        for one in named:
            yield from _files(one)
    else:
        yield None
