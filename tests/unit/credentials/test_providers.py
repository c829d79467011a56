"""The kubelet's protocol for credential providers: its configuration, and what a plugin writes."""

import json
from typing import Any

import pytest

from controller.agent.decide.credentials.providers import (
    GLOBAL,
    ExecEnvVar,
    cache_keys,
    parse_config,
    parse_response,
    request,
    seconds,
)
from controller.runtime.port import Credential

V1 = "credentialprovider.kubelet.k8s.io/v1"
REPOSITORY = "r.test:5000/team/app"

CONFIG = """
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: ecr-credential-provider
    matchImages: ["*.dkr.ecr.*.amazonaws.com", "r.test:5000/team"]
    defaultCacheDuration: 12h
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    args: [get-credentials, --v=3]
    env:
      - name: AWS_PROFILE
        value: some
  - name: other
    matchImages: [quay.io]
    defaultCacheDuration: "0"
    apiVersion: credentialprovider.kubelet.k8s.io/v1beta1
"""


def test_a_configuration_as_kubernetes_documents_it() -> None:
    """Every field is read."""
    first, second = parse_config(CONFIG)
    assert (first.name, first.default_cache_duration, first.api_version) == ("ecr-credential-provider", 43200.0, V1)
    assert (first.args, first.env) == (("get-credentials", "--v=3"), (ExecEnvVar(name="AWS_PROFILE", value="some"),))
    assert first.asked("1234.dkr.ecr.eu.amazonaws.com/x")
    assert first.asked(REPOSITORY)
    assert not first.asked("quay.io/x")
    assert (second.default_cache_duration, second.args, second.env) == (0.0, (), ())


def changed(**changes: Any) -> str:
    """A configuration of one provider, with some of its fields set or (None) left out."""
    provider = {"name": "p", "matchImages": ["a.test"], "defaultCacheDuration": "1m", "apiVersion": V1, **changes}
    provider = {k: v for k, v in provider.items() if v is not None}
    head = {"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig"}
    return json.dumps({**head, "providers": [provider]})


REFUSED = {
    "a name with a slash": (changed(name="../p"), "providers[0].name"),
    "a name that is a folder": (changed(name=".."), "providers[0].name"),
    "a name with a space": (changed(name="a b"), "providers[0].name"),
    "no images": (changed(matchImages=[]), "providers[0].matchImages"),
    "no duration": (changed(defaultCacheDuration=None), "providers[0].defaultCacheDuration"),
    "a duration that is none": (changed(defaultCacheDuration="1 day"), "'1 day' is no duration such as 12h, 30m or 0s"),
    "a negative duration": (changed(defaultCacheDuration="-1m"), "is no duration"),
    "another version": (changed(apiVersion="credentialprovider.kubelet.k8s.io/v2"), "providers[0].apiVersion"),
    "no version": (changed(apiVersion=None), "providers[0].apiVersion"),
    "an unknown field": (changed(arg=["x"]), "providers[0].arg"),
    "tokens of service accounts": (changed(tokenAttributes={}), "providers[0].tokenAttributes: tokens of service accounts"),
    "no providers": (
        '{"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": []}',
        "providers",
    ),
    "another kind": ('{"apiVersion": "kubelet.config.k8s.io/v1", "kind": "KubeletConfiguration"}', "kind"),
    "no YAML": ("a: [", "is no YAML"),
    "a list": ("[]", "valid dictionary"),
    "a name twice": (CONFIG.replace("name: other", "name: ecr-credential-provider"), "is there twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_kubelet_would_refuse_is_refused_by_its_field(case: str) -> None:
    """An agent with it does not start."""
    text, wanted = REFUSED[case]
    with pytest.raises(ValueError) as told:  # noqa: PT011 - the text is what is tested
        parse_config(text)
    assert wanted in str(told.value)


DURATIONS = {"0": 0, "0s": 0, "12h": 43200, "1h30m": 5400, "1.5s": 1.5, "250ms": 0.25, "1h0m0.5s": 3600.5, "10us": 1e-5}


@pytest.mark.parametrize("text", DURATIONS)
def test_durations_as_go_writes_them(text: str) -> None:
    """metav1.Duration."""
    assert seconds(text) == pytest.approx(DURATIONS[text])


@pytest.mark.parametrize("text", ["", "1", "h", "1d", "-1s", "1h 2m", "1h2", "one"])
def test_what_is_no_duration(text: str) -> None:
    """Named as it is."""
    with pytest.raises(ValueError, match="is no duration"):
        seconds(text)


def test_a_question_is_a_credential_provider_request() -> None:
    """Registry and path, without tag and digest, as from a kubelet."""
    assert json.loads(request(V1, REPOSITORY)) == {
        "apiVersion": V1,
        "kind": "CredentialProviderRequest",
        "image": REPOSITORY,
    }


def answer(**changes: Any) -> bytes:
    """What a plugin writes."""
    body = {
        "apiVersion": V1,
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Registry",
        "cacheDuration": "10m0s",
        "auth": {"r.test:5000": {"username": "me", "password": "hidden-9"}},
        **changes,
    }
    return json.dumps({k: v for k, v in body.items() if v is not None}).encode()


def test_an_answer_holds_for_what_it_says() -> None:
    """An image, a registry, or all; for a time, or for the configured one."""
    image, registry, everything = cache_keys(REPOSITORY)
    assert (image, registry, everything) == (REPOSITORY, "r.test:5000", GLOBAL)
    for kind, key in (("Image", image), ("Registry", registry), ("Global", everything)):
        found = parse_response(answer(cacheKeyType=kind), V1, REPOSITORY)
        assert (found.cache_key, found.cache_seconds) == (key, 600.0)
        assert found.entries == {"r.test:5000": Credential("me", "hidden-9")}
        assert "hidden-9" not in repr(found)
    assert parse_response(answer(cacheDuration=None), V1, REPOSITORY).cache_seconds is None
    assert parse_response(answer(cacheDuration="0s"), V1, REPOSITORY).cache_seconds == 0
    assert parse_response(answer(auth=None), V1, REPOSITORY).entries == {}


BAD = {
    "nothing": (b"", "JSON"),
    "no JSON": (b'{"hidden-9', "JSON"),
    "another kind": (answer(kind="Hidden-9"), "kind"),
    "another version": (answer(apiVersion="hidden-9"), "apiVersion"),
    "no key type": (answer(cacheKeyType=None), "cacheKeyType"),
    "an unknown key type": (answer(cacheKeyType="hidden-9"), "cacheKeyType"),
    "a duration that is none": (answer(cacheDuration="hidden-9"), "cacheDuration"),
    "credentials that are none": (answer(auth={"hidden-9": "hidden-9"}), "auth"),
    "a password that is none": (answer(auth={"r": {"password": ["hidden-9"]}}), "auth"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_answer_that_cannot_be_used_is_told_without_anything_of_it(case: str) -> None:
    """It may hold a credential."""
    text, wanted = BAD[case]
    with pytest.raises(ValueError) as told:  # noqa: PT011 - the text is what is tested
        parse_response(text, V1, REPOSITORY)
    assert wanted in str(told.value)
    assert "hidden-9" not in str(told.value).lower()
    assert told.value.__cause__ is None
