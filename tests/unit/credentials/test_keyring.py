"""Which credentials are for an image: the tables of Kubernetes' own tests (pkg/credentialprovider), and properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.decide.credentials.keyring import SecretId, Source, location, lookup, matches
from controller.runtime.port import Credential

MATCHES = {
    "a part is a glob": ("*.kubernetes.io", "prefix.kubernetes.io", True),
    "any part may be one": ("prefix.*.io", "prefix.kubernetes.io", True),
    "the last too": ("prefix.kubernetes.*", "prefix.kubernetes.io", True),
    "a part may be one in part": ("*-good.kubernetes.io", "prefix-good.kubernetes.io", True),
    "with a path": ("*.kubernetes.io/blah", "prefix.kubernetes.io/blah", True),
    "a path is a prefix": ("prefix.*.io/foo", "prefix.kubernetes.io/foo/bar", True),
    "and no folder": ("kubernetes.io/foo", "kubernetes.io/foobar", True),
    "with a port": ("*.kubernetes.io:1111/blah", "prefix.kubernetes.io:1111/blah", True),
    "with both": ("prefix.*.io:1111/foo", "prefix.kubernetes.io:1111/foo/bar", True),
    "a glob is one part": ("*.kubernetes.io", "kubernetes.io", False),
    "two are two": ("*.*.kubernetes.io", "prefix.kubernetes.io", False),
    "and not none": ("*.*.kubernetes.io", "kubernetes.io", False),
    "it leads over no dot": ("*kubernetes.io", "a.kubernetes.io", False),
    "it may be empty": ("*kubernetes.io", "kubernetes.io", True),
    "as many as there are": ("*.*.*.kubernetes.io", "a.b.c.kubernetes.io", True),
    "other names are others": ("kubernetes.io", "kubernetes.com", False),
    "other beginnings too": ("k*.io", "quay.io", False),
    "ports have to be the same": ("*.kubernetes.io:1234/blah", "prefix.kubernetes.io:1111/blah", False),
    "none is no glob": ("prefix.*.io/foo", "prefix.kubernetes.io:1111/foo/bar", False),
    "no glob in a port": ("kubernetes.io:*", "kubernetes.io:1111", False),
    "no glob in a path": ("kubernetes.io/*", "kubernetes.io/foo", False),
    "IPv6 with a port": ("[::1]:5000", "[::1]:5000/foo", True),
    "no URL": ("kubernetes.io:port", "kubernetes.io", False),
}

FOUND = {
    "https://hello.kubernetes.io": "hello.kubernetes.io",
    "http://hello.kubernetes.io": "hello.kubernetes.io",
    "https://*.docker.io": "prefix.docker.io",
    "https://prefix.*.io": "prefix.docker.io",
    "https://prefix.docker.*": "prefix.docker.io",
    "https://*.docker.io/path": "prefix.docker.io/path",
    "https://prefix.*.io/path": "prefix.docker.io/path/subpath",
    "https://prefix.docker.*/path": "prefix.docker.io/path",
    "https://*.docker.io:8888": "prefix.docker.io:8888",
    "https://prefix.*.io:8888": "prefix.docker.io:8888",
    "https://prefix.docker.*:8888": "prefix.docker.io:8888",
    "https://*.docker.io/path:1111": "prefix.docker.io/path:1111",
    "https://*.docker.io/v1/": "prefix.docker.io/path:1111",
    "https://*.docker.io/v2/": "prefix.docker.io/path:1111",
    "https://*.docker.io/v2/path": "prefix.docker.io/path",
    "https://prefix.docker.*/path:1111": "prefix.docker.io/path:1111",
    "prefix.docker.io:1111": "prefix.docker.io:1111/path",
    "*.docker.io:1111": "prefix.docker.io:1111/path",
}

MISSED = {
    "https://hello.kubernetes.io": "world.mesos.org/foo/bar",
    "https://*.docker.com": "prefix.docker.io",
    "https://suffix.*.io": "prefix.docker.io",
    "https://prefix.docker.c*": "prefix.docker.io",
    "https://prefix.*.io/path:1111": "prefix.docker.io/path/subpath:1111",
    "suffix.*.io": "prefix.docker.io",
    "https://prefix.docker.io/v1": "prefix.docker.io",
    "prefix.docker.io:port": "prefix.docker.io",
    "https://prefix docker.io": "prefix.docker.io",
}

DOCKER_HUB = {
    "docker.io/library/nginx": True,
    "docker.io/someone/something": True,
    "index.docker.io/someone/something": True,
    "someone/something": True,
    "nginx": True,
    "localhost/something": True,
    "registry.example.com/nginx": False,
    "localhost:5000/nginx": False,
    "quay.io/docker.io/nginx": False,
    "": False,
}


def one(key: str) -> Source:
    """Credentials for one place."""
    return Source({key: Credential("foo", "bar")}, key)


def names(found: object) -> list[str]:
    """Users, in their order."""
    return [candidate.credential.username for candidate in found]  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", MATCHES, ids=str)
def test_a_place_matches_what_is_within_it(case: str) -> None:
    """TestURLsMatch."""
    pattern, target, wanted = MATCHES[case]
    assert matches(pattern, target) is wanted


@pytest.mark.parametrize("key", FOUND)
def test_keys_are_for_what_they_name(key: str) -> None:
    """TestDockerKeyringForGlob."""
    assert names(lookup([one(key)], f"{FOUND[key]}/foo/bar")) == ["foo"]


@pytest.mark.parametrize("key", MISSED)
def test_keys_are_for_nothing_else(key: str) -> None:
    """TestKeyringMiss."""
    assert lookup([one(key)], f"{MISSED[key]}/foo/bar") == ()


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "https://index.docker.io/v2/"])
@pytest.mark.parametrize("image", DOCKER_HUB)
def test_docker_hub_has_several_names(key: str, image: str) -> None:
    """TestKeyringHitWithUnqualifiedDockerHub and its kin: that key is for all images of Docker Hub, and for no others."""
    assert bool(lookup([one(key)], image)) is DOCKER_HUB[image]


def test_docker_hub_is_the_last_resort() -> None:
    """TestKeyringHitWithQualifiedDockerHub: what matches by its name goes before."""
    sources = [one("index.docker.io"), Source({"docker.io/library": Credential("own", "x")}, "")]
    assert names(lookup(sources, "docker.io/library/nginx")) == ["own"]
    assert names(lookup(sources, "docker.io/other/nginx")) == ["foo"]


def test_the_longer_place_goes_first_and_equal_ones_in_the_order_of_their_sources() -> None:
    """TestDockerKeyringLookup, and what makes it possible to renew credentials: all that match are tried."""
    secret = SecretId("default", "regcred", "u")
    first = Source(
        {
            "bar.example.com": Credential("bar", "1"),
            "bar.example.com/pong": Credential("pong", "1"),
            "foo.example.com": Credential("foo", "1"),
        },
        "first",
        secret,
    )
    second = Source({"bar.example.com": Credential("bar2", "2"), "*.example.com": Credential("any", "2")}, "second")
    found = lookup([first, second], "bar.example.com/pong/image")
    assert names(found) == ["pong", "bar", "bar2", "any"]
    assert [candidate.said for candidate in found] == ["first", "first", "second", "second"]
    assert [candidate.secret for candidate in found] == [secret, secret, None, None]
    assert names(lookup([first, second], "bar.example.com/image")) == ["bar", "bar2", "any"]
    assert names(lookup([second, first], "bar.example.com/image")) == ["bar2", "bar", "any"]
    assert names(lookup([first], "baz.example.org/image")) == []


def test_nothing_of_credentials_is_in_a_text() -> None:
    """Whatever is printed, by whomever."""
    source = Source({"r.test": Credential("user-1", "pass-2", "id-3", "token-4")}, "a Secret")
    for printed in (repr(source), repr(lookup([source], "r.test/x")), str(Credential("user-1", "pass-2"))):
        assert not any(part in printed for part in ("user-1", "pass-2", "id-3", "token-4"))


host = st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5}){0,3}(:[0-9]{1,4})?", fullmatch=True)
path = st.from_regex(r"(/[a-z0-9]{1,4}){1,4}", fullmatch=True)


@given(host, path, path)
def test_a_key_of_an_image_or_of_what_it_is_in_is_always_found(registry: str, outer: str, inner: str) -> None:
    """With or without a scheme, and with the version of the API that Docker writes."""
    image = registry + outer + inner
    for key in (registry, registry + outer, f"https://{registry}{outer}", f"http://{registry}/v1/", f"{registry}/v2{outer}"):
        assert lookup([one(key)], image), key


@given(st.text(max_size=40), host, path)
def test_no_key_is_too_odd(key: str, registry: str, rest: str) -> None:
    """It is for something or for nothing; it never raises, and never is for another port or another number of parts."""
    image = registry + rest
    found = lookup([one(key)], image)
    place = location(key)
    if found and place is not None and place != "index.docker.io":
        assert place.partition("/")[0].count(".") == registry.count(".")
        assert place.partition("/")[0].rpartition(":")[2].isdigit() is (":" in registry) or place.startswith("[")
