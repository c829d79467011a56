"""Tokens in front of an API server: asked for once, replaced in time, kept while they are good, and told when there is none."""

import logging
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.tokens import rotation
from controller.agent.tokens.kube import UNBOUND_SECONDS, KubeTokens
from controller.agent.tokens.port import NoToken, Token, TokenRef
from controller.kube.errors import ApiDenied, ApiFailure, ApiForbidden, ApiInvalid, ApiUnavailable
from tests.unit.agent.clock import now, until
from tests.unit.agent.tokens import TokenServer, token_ref

HOUR, DAY = 3600.0, 24 * 3600.0


@pytest.mark.parametrize(
    ("life", "jitter", "after"),
    [
        (HOUR, 0.0, 2880.0),
        (HOUR, 1.0, 2870.0),
        (600.0, 0.0, 480.0),
        (600.0, 0.5, 475.0),
        (DAY, 0.0, 69120.0),
        (30 * HOUR, 0.0, DAY),
        (30 * HOUR + 1, 1.0, DAY - 10),
        (float(1 << 32), 0.0, DAY),
        (1.0, 1.0, 0.5),
    ],
)
def test_a_token_is_replaced_by_the_kubelets_rule(life: float, jitter: float, after: float) -> None:
    """When it is older than 80 % of its life, or than a day; up to 10 s earlier."""
    assert rotation.due(1000.0, life, jitter) == 1000.0 + after


@given(st.floats(1, 1 << 32), st.floats(0, 1))
def test_a_token_is_replaced_while_it_is_good(life: float, jitter: float) -> None:
    """Neither at once nor too late, whatever it was given out for."""
    assert min(life / 2, DAY) <= rotation.due(0.0, life, jitter) <= min(0.8 * life, DAY)


async def long_until(true: Callable[[], object], seconds: float) -> float:
    """Let much time pass until something is true."""
    return await until(true, seconds, step=1.0)


class Node:
    """A node's tokens."""

    def __init__(self) -> None:
        self.server = TokenServer()
        self.woken: list[str] = []
        self.tokens = KubeTokens(self.server, "node1", self.woken.append)

    def content(self, ref: TokenRef) -> str:
        """What is there; empty when nothing is."""
        view = self.tokens.view(ref)
        return view.content if isinstance(view, Token) else ""

    def why(self, ref: TokenRef) -> str:
        """Why nothing is there."""
        view = self.tokens.view(ref)
        return view.why if isinstance(view, NoToken) else ""

    def counted(self, state: str) -> float:
        """How many are in a state."""
        return self.tokens.counts()[(state,)]


@pytest.fixture(name="node")
async def _node() -> AsyncIterator[Node]:
    node = Node()
    yield node
    await node.tokens.close()


async def test_a_token_is_asked_for_as_the_volume_says(node: Node) -> None:
    """Audience and time, bound to the node; the instance is told when it is there."""
    ref, other = token_ref(), token_ref(audience="harbour", seconds=600)
    node.tokens.follow("one", frozenset({ref, other}))
    assert node.tokens.view(ref) == NoToken()
    assert node.counted("missing") == 2
    await until(lambda: node.content(ref) and node.content(other))
    bound = {"apiVersion": "v1", "kind": "Node", "name": "node1"}
    common = {"account": "default", "namespace": "default", "boundObjectRef": bound}
    assert sorted(node.server.asked, key=lambda s: int(s["expirationSeconds"])) == [
        {"audiences": ["harbour"], "expirationSeconds": 600, **common},
        {"audiences": [], "expirationSeconds": 3600, **common},
    ]
    assert node.woken == ["one", "one"]
    assert node.counted("fresh") == 2


async def test_one_request_for_all_that_mount_the_same(node: Node) -> None:
    """Asked again and again, as supervisors do; another instance has a token of its own."""
    for _ in range(3):
        node.tokens.follow("one", frozenset({token_ref()}))
    node.tokens.follow("two", frozenset({token_ref("two")}))
    await until(lambda: node.server.given == 2)
    assert node.content(token_ref()) != node.content(token_ref("two"))
    assert len(node.server.asked) == 2


async def test_a_token_is_replaced_in_time(node: Node) -> None:
    """Again and again, by the life that it was given; its instance is told each time."""
    ref = token_ref()
    node.tokens.follow("one", frozenset({ref}))
    await until(lambda: node.content(ref) == "token-1")
    assert 2860 <= await long_until(lambda: node.content(ref) == "token-2", HOUR) <= 2890
    node.server.most = 900
    await long_until(lambda: node.content(ref) == "token-3", HOUR)
    assert 700 <= await long_until(lambda: node.content(ref) == "token-4", HOUR) <= 730
    assert node.woken == ["one"] * 4


async def test_a_clock_that_is_set_forward_is_noticed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a minute: the node may have slept, too."""
    ref = token_ref()
    node.tokens.follow("one", frozenset({ref}))
    await until(lambda: node.content(ref) == "token-1")
    monkeypatch.setattr("time.time", lambda: now() + DAY)
    assert await long_until(lambda: node.content(ref) == "token-2", 100.0) <= 61


async def test_a_clock_that_is_set_back_delays_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token has the life that it has."""
    ref = token_ref()
    node.tokens.follow("one", frozenset({ref}))
    await until(lambda: node.content(ref) == "token-1")
    monkeypatch.setattr("time.time", lambda: now() - DAY)
    assert 2860 <= await long_until(lambda: node.content(ref) == "token-2", HOUR) <= 2890


async def test_a_defect_keeps_nobody_from_asking_anew(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the log, with what it was."""
    ref = token_ref()
    monkeypatch.setattr(node.server, "create", broken)
    node.tokens.follow("one", frozenset({ref}))
    await until(lambda: "asking anew" in caplog.text)
    monkeypatch.undo()
    await until(lambda: node.content(ref))
    assert "a defect" in caplog.text


async def broken(*_: object) -> dict[str, object]:
    """What nobody has thought of."""
    raise RuntimeError("a defect")


async def test_a_token_stays_while_it_is_good_and_no_longer(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Without an API server the old one is there to its end; then none is; and the new one comes when it is back."""
    ref = token_ref()
    node.tokens.follow("one", frozenset({ref}))
    await until(lambda: node.content(ref))
    node.server.refusal = ApiUnavailable("create serviceaccounts: the API server does not answer")
    with caplog.at_level(logging.WARNING):
        await long_until(lambda: node.counted("late"), HOUR)
        assert node.content(ref) == "token-1"
        assert 600 <= await long_until(lambda: node.why(ref), HOUR) <= 760
    assert "the API server does not answer" in node.why(ref)
    assert len([r for r in caplog.records if "is good for" in r.getMessage()]) == 1, "told once"
    assert "token-1" not in caplog.text
    node.server.refusal = None
    assert await until(lambda: node.content(ref) == "token-2") < 10


ACCOUNT = 'ServiceAccount "default" (serviceAccountName)'
RIGHT = "value agent.serviceAccountTokens.enabled of the chart, or a Role"


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (
            ApiForbidden('create serviceaccounts: serviceaccounts "default" is forbidden: User "a" cannot create'),
            f"agents have no right to tokens of {ACCOUNT} here ({RIGHT})",
        ),
        (
            ApiDenied("create serviceaccounts: ... 'moorage-agent-tokens' denied request: namespace default has no label"),
            f"no token of {ACCOUNT} is given out: namespace default has no label",
        ),
        (
            ApiInvalid("create serviceaccounts: spec.expirationSeconds: Invalid value"),
            f"no token of {ACCOUNT} is to be had: create serviceaccounts: spec.expirationSeconds: Invalid value",
        ),
    ],
)
async def test_what_is_in_the_way_is_told(node: Node, refusal: ApiFailure, told: str) -> None:
    """Which field it is about, and what to do; looked for again after longer pauses, since nobody tells when it goes."""
    ref = token_ref()
    node.server.refusal = refusal
    node.tokens.follow("one", frozenset({ref}))
    await until(lambda: node.why(ref))
    assert node.why(ref) == told
    await long_until(lambda: len(node.server.asked) > 7, 300.0)
    tries = len(node.server.asked)
    assert await long_until(lambda: len(node.server.asked) > tries, 100.0) > 30
    assert node.woken == ["one"], "told once"
    node.server.refusal = None
    await long_until(lambda: node.content(ref), 100.0)


async def test_an_account_that_is_not_there_is_waited_for(node: Node) -> None:
    """Its name and namespace are told."""
    ref = token_ref(account="builder")
    node.tokens.follow("one", frozenset({ref}))
    await until(lambda: node.why(ref))
    assert node.why(ref) == (
        'ServiceAccount "builder" (serviceAccountName) does not exist in namespace "default": create it, or name another one'
    )
    node.server.accounts.add("builder")
    await until(lambda: node.content(ref))


async def test_without_a_node_a_token_is_bound_to_nothing_and_short(node: Node) -> None:
    """A day at most, whatever was asked for; and as asked for when that is less."""
    node.server.nodes = ()
    long, short = token_ref(seconds=30 * 86400), token_ref(seconds=600)
    node.tokens.follow("one", frozenset({long, short}))
    await until(lambda: node.content(long) and node.content(short))
    unbound = [s for s in node.server.asked if "boundObjectRef" not in s]
    assert sorted(s["expirationSeconds"] for s in unbound) == [600, UNBOUND_SECONDS]


async def test_what_nobody_mounts_any_more_is_forgotten(node: Node) -> None:
    """It is not replaced, also when it was just being asked for; asked for again, it is another one."""
    ref, other = token_ref(), token_ref(audience="other")
    node.tokens.follow("one", frozenset({ref, other}))
    await until(lambda: node.content(ref) and node.content(other))
    node.tokens.follow("one", frozenset({other}))
    assert node.tokens.view(ref) == NoToken()
    node.tokens.follow("one", frozenset())
    asked = len(node.server.asked)
    await long_until(later(HOUR), 2 * HOUR)
    assert len(node.server.asked) == asked
    node.tokens.follow("one", frozenset({ref}))
    node.tokens.follow("one", frozenset())
    node.tokens.follow("one", frozenset({ref}))
    await until(lambda: node.content(ref) == "token-3")


def later(seconds: float) -> Callable[[], bool]:
    """Whether so much time has passed."""
    at = now() + seconds
    return lambda: now() >= at


async def test_an_agent_that_begins_asks_for_a_few_at_a_time(node: Node) -> None:
    """And gets them all."""
    node.server.slow = 1.0
    refs = [token_ref(f"uid-{number}") for number in range(20)]
    for ref in refs:
        node.tokens.follow(ref.uid, frozenset({ref}))
    await until(lambda: node.server.given == 20)
    assert node.server.busiest == 4


async def test_an_answer_without_a_token_is_no_success(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else answers there: it is tried again."""
    ref = token_ref()
    monkeypatch.setattr(node.server, "create", nonsense)
    node.tokens.follow("one", frozenset({ref}))
    await until(lambda: node.why(ref))
    assert "something else answers" in node.why(ref)
    monkeypatch.undo()
    await until(lambda: node.content(ref))


async def nonsense(*_: object) -> dict[str, object]:
    """What a proxy may say."""
    return {"spec": {}, "status": {"token": ""}}


def test_a_token_is_in_no_text() -> None:
    """Whatever logs it, by accident."""
    assert "hidden" not in repr(Token("hidden"))
