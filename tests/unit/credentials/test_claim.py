"""What an instance's imagePullSecrets come to, as they are known at one moment."""

import json

from controller.agent.decide.credentials.claim import Claim, claim, refs
from controller.agent.decide.credentials.keyring import SecretId
from controller.agent.sources.port import Absent, Found, Kind, Ref, Unread, View
from controller.runtime.port import Credential


def secret(registry: str, username: str, uid: str = "u") -> Found:
    """A Secret of type kubernetes.io/dockerconfigjson."""
    auths = {"auths": {registry: {"username": username, "password": "hidden-1"}}}
    return Found({".dockerconfigjson": json.dumps(auths).encode()}, uid=uid)


def ref(name: str) -> Ref:
    """A Secret of the namespace."""
    return Ref(Kind.SECRET, "team", name)


def test_secrets_are_named_once_in_their_order() -> None:
    """An empty name, which core/v1 has for no reason, names none."""
    assert refs("team", ["b", "a", "b", ""]) == (ref("b"), ref("a"))
    assert claim("team", [], {}) == Claim(namespace="team")


def test_each_is_read_in_its_turn() -> None:
    """Which of two that match goes first is up to whoever wrote the list."""
    objects = {ref("a"): secret("r.test", "first", "1"), ref("b"): secret("r.test", "second", "2")}
    found = claim("team", ["b", "a"], objects)
    assert [c.credential.username for c in found.candidates("r.test/x")] == ["second", "first"]
    assert [c.secret for c in found.candidates("r.test/x")] == [SecretId("team", "b", "2"), SecretId("team", "a", "1")]
    assert found.candidates("other.test/x") == ()
    assert (found.pending, found.problems, found.missing) == ("", (), ())
    assert "hidden-1" not in repr(found)


def test_what_is_missing_is_told_and_keeps_nothing_else_from_use() -> None:
    """As the kubelet, which goes on with what there is."""
    objects: dict[Ref, View] = {
        ref("gone"): Absent(),
        ref("closed"): Unread("agents have no right to read Secrets here"),
        ref("odd"): Found({"password": b"x"}),
        ref("good"): secret("r.test", "me"),
    }
    found = claim("team", ["gone", "closed", "odd", "good"], objects)
    assert [c.credential for c in found.candidates("r.test/x")] == [Credential("me", "hidden-1")]
    assert found.problems == (
        'secret "gone" not found',
        "agents have no right to read Secrets here",
        'secret "odd": has neither .dockerconfigjson nor .dockercfg',
    )
    assert found.missing == ("gone", "closed")
    assert found.unread == (SecretId("team", "closed"),)
    assert not found.pending


def test_what_is_just_being_read_is_waited_for() -> None:
    """It takes milliseconds, and a pull without it would fail."""
    found = claim("team", ["a"], {ref("a"): Unread()})
    assert found.pending == 'secret "a" is being read'
    assert (found.problems, found.unread) == ((), (SecretId("team", "a"),))
