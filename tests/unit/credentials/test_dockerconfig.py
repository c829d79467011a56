"""Reading what Docker writes; nothing of its content is ever told."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.decide.credentials.dockerconfig import of_secret, parse
from controller.runtime.port import Credential

HIDDEN = "hidden-7f3a"


def coded(text: str) -> str:
    """As `auth` has it."""
    return base64.b64encode(text.encode()).decode()


READ: dict[str, tuple[Any, Credential]] = {
    "auth": ({"auth": coded("user:pass")}, Credential("user", "pass")),
    "auth without its padding": ({"auth": coded("user:passwd").rstrip("=")}, Credential("user", "passwd")),
    "auth with line breaks": ({"auth": coded("user:pass")[:4] + "\n" + coded("user:pass")[4:]}, Credential("user", "pass")),
    "a password with colons": ({"auth": coded("user:pa:ss:")}, Credential("user", "pa:ss:")),
    "an empty password": ({"auth": coded("user:")}, Credential("user", "")),
    "user and password": ({"username": "user", "password": "pass", "email": "a@b.c"}, Credential("user", "pass")),
    "auth goes before them": ({"username": "x", "password": "y", "auth": coded("user:pass")}, Credential("user", "pass")),
    "an identity token": ({"auth": coded("00000000:"), "identitytoken": "t"}, Credential("00000000", "", "t")),
    "a registry token": ({"registrytoken": "t"}, Credential(registry_token="t")),
    "nothing is none": ({"auth": "", "username": None, "password": "p"}, Credential("", "p")),
    "what else is there means nothing": ({"auth": coded("a:b"), "email": 7, "more": {}}, Credential("a", "b")),
}

BROKEN: dict[str, tuple[Any, str]] = {
    "auth is no base64": ({"auth": f"{HIDDEN}!"}, "auth is not base64 of user:password"),
    "auth is no text in UTF-8": ({"auth": base64.b64encode(b"\xff:\xff").decode()}, "auth is not base64 of user:password"),
    "no colon in auth": ({"auth": coded(HIDDEN)}, "auth is not base64 of user:password"),
    "auth is a number": ({"auth": 5}, "auth is no text"),
    "the password is a list": ({"username": "u", "password": [HIDDEN]}, "password is no text"),
    "an entry is a text": (HIDDEN, "is no JSON object"),
    "an entry is a list": ([HIDDEN], "is no JSON object"),
}

DOCUMENTS: dict[str, tuple[str | bytes, str]] = {
    "no JSON": (f'{{"auths": {HIDDEN}', "is not JSON"),
    "no text": (b"\xff\xfe\xff", "is not JSON"),
    "a list": (f'["{HIDDEN}"]', "is no JSON object"),
    "auths is a list": (f'{{"auths": ["{HIDDEN}"]}}', "auths is no JSON object"),
}


@pytest.mark.parametrize("case", READ)
def test_entries(case: str) -> None:
    """As Kubernetes reads them, and Docker's tokens beside."""
    entry, wanted = READ[case]
    read = parse(json.dumps({"auths": {"r.test": entry}, "HttpHeaders": {}}).encode())
    assert (read.entries, read.problems) == ({"r.test": wanted}, ())
    assert parse(json.dumps({"r.test": entry}).encode(), auths=False) == read


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_by_its_key_and_keeps_no_other_from_use(case: str) -> None:
    """And nothing of it is shown."""
    entry, wanted = BROKEN[case]
    read = parse(json.dumps({"auths": {"bad.test": entry, "good.test": {"auth": coded("a:b")}}}).encode())
    assert read.entries == {"good.test": Credential("a", "b")}
    assert read.problems == (f'auths["bad.test"]: {wanted}',)
    assert HIDDEN not in repr(read)


@pytest.mark.parametrize("case", DOCUMENTS)
def test_documents_that_are_none(case: str) -> None:
    """Told in words without anything of the text."""
    text, wanted = DOCUMENTS[case]
    read = parse(text if isinstance(text, bytes) else text.encode())
    assert (read.entries, read.problems) == ({}, (wanted,))


def test_an_entry_that_a_helper_of_docker_holds_is_passed_over() -> None:
    """`docker login` with a credsStore leaves `{}`."""
    read = parse(b'{"auths": {"https://index.docker.io/v1/": {}}, "credsStore": "desktop"}')
    assert (read.entries, read.problems) == ({}, ())


@pytest.mark.parametrize("text", [b"{}", b'{"auths": null}', b'{"auths": {}}'])
def test_none_at_all_is_no_error(text: bytes) -> None:
    """It has nothing to say."""
    assert parse(text) == parse(b"{}")


def test_of_a_secret_its_key_says_the_format() -> None:
    """kubernetes.io/dockerconfigjson goes before kubernetes.io/dockercfg."""
    new = json.dumps({"auths": {"new.test": {"auth": coded("a:b")}}}).encode()
    old = json.dumps({"old.test": {"auth": coded("c:d")}}).encode()
    assert list(of_secret({".dockerconfigjson": new}).entries) == ["new.test"]
    assert list(of_secret({".dockercfg": old}).entries) == ["old.test"]
    assert list(of_secret({".dockerconfigjson": new, ".dockercfg": old}).entries) == ["new.test"]
    assert list(of_secret({".dockerconfigjson": b"", ".dockercfg": old}).entries) == ["old.test"]
    assert of_secret({"password": b"x"}).problems == ("has neither .dockerconfigjson nor .dockercfg",)
    assert of_secret({".dockerconfigjson": b"x"}).problems == (".dockerconfigjson: is not JSON",)


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(text: bytes) -> None:
    """Read, or told as what they are."""
    parse(text)
    parse(text, auths=False)


@given(
    st.dictionaries(
        st.text(max_size=10),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["auth", "username", "password", "identitytoken"]), x),
        ),
    )
)
def test_no_document_is_too_odd(auths: dict[str, Any]) -> None:
    """Every key is an entry, is named as a problem, or says nothing."""
    read = parse(json.dumps({"auths": auths}).encode())
    assert len(read.entries) + len(read.problems) <= len(auths)
    assert read.entries.keys() <= auths.keys()


@given(
    st.text(alphabet=st.characters(exclude_characters=":", exclude_categories=["Cs"])),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
)
def test_whatever_is_written_is_read(username: str, password: str) -> None:
    """User and password come back as they were."""
    read = parse(json.dumps({"auths": {"r.test": {"auth": coded(f"{username}:{password}")}}}).encode())
    assert read.entries.get("r.test", Credential()) == Credential(username, password)
