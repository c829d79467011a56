"""Who may use an image that is on the node: KEP-2535, case by case."""

from collections.abc import Mapping
from functools import partial

import pytest

from controller.agent.decide.credentials.access import (
    MOST_GRANTS,
    Grant,
    Policy,
    Record,
    Rule,
    allowed,
    brought,
    fingerprint,
    noted,
    patterns,
    replaceable,
)
from controller.agent.decide.credentials.claim import NOTHING, Claim
from controller.agent.decide.credentials.keyring import Candidate, SecretId, Source
from controller.runtime.port import Credential

REPOSITORY = "r.test/app"
OURS, THEIRS = Credential("us", "1"), Credential("them", "2")
SECRET = SecretId("team-a", "regcred", "uid-1")
mark = partial(fingerprint, salt=b"salt")
PRESENT: Mapping[str, Record] = {REPOSITORY: Record(grants=(Grant(SECRET, mark(OURS)),))}


def claims(credential: Credential, secret: SecretId = SECRET, registry: str = "r.test") -> Claim:
    """The claim by one Secret."""
    return Claim((Source({registry: credential}, "", secret),))


def unread(namespace: str, name: str) -> Claim:
    """The claim by a Secret of which nobody can tell."""
    return Claim(unread=(SecretId(namespace, name),))


ASKED = {
    "NeverVerify": {True: False, False: False},
    "NeverVerifyPreloadedImages": {True: True, False: False},
    "NeverVerifyAllowlistedImages": {True: True, False: True},
    "AlwaysVerify": {True: True, False: True},
}


@pytest.mark.parametrize("policy", Policy)
def test_the_policy_says_which_images_are_asked_for(policy: Policy) -> None:
    """By whether Moorage has pulled them itself."""
    for pulled, records in ((True, PRESENT), (False, None)):
        assert Rule(policy).asks(REPOSITORY, pulled=pulled) is ASKED[policy][pulled]
        assert allowed(Rule(policy), REPOSITORY, records, NOTHING, mark) is not ASKED[policy][pulled]


@pytest.mark.parametrize("policy", [Policy.ALWAYS_VERIFY, Policy.NEVER_VERIFY_PRELOADED_IMAGES])
def test_a_pull_whose_end_nobody_noted_counts_as_pulled(policy: Policy) -> None:
    """Otherwise whoever kills an agent at the right moment opens an image to all."""
    assert not allowed(Rule(policy), REPOSITORY, None, claims(OURS), mark, pulling=True)


LISTED = {
    "r.test/app": {"r.test/app": True, "r.test/app2": False, "r.test/app/x": False},
    "r.test/*": {"r.test/app": True, "r.test/a/b": True, "r.test2/app": False},
    "r.test:5000/*": {"r.test:5000/app": True, "r.test/app": False},
    "nginx": {"docker.io/library/nginx": True, "docker.io/library/nginx2": False},
    "docker.io/library/*": {"docker.io/library/nginx": True, "docker.io/someone/nginx": False},
}


@pytest.mark.parametrize("pattern", LISTED)
def test_the_allowlist(pattern: str) -> None:
    """Repositories, and beginnings of some."""
    rule = Rule(Policy.NEVER_VERIFY_ALLOWLISTED_IMAGES, patterns([pattern]))
    for repository, wanted in LISTED[pattern].items():
        assert rule.asks(repository, pulled=True) is not wanted, repository


@pytest.mark.parametrize(
    "pattern",
    ["", "*", "/*", "r.test/a*", "r.test/*/b", "r.test/a:1", "nginx:1", "r.test/A", " r.test/a", "r.test/a@sha256:" + "0" * 64],
)
def test_what_can_be_no_entry_of_the_allowlist_is_named(pattern: str) -> None:
    """At the start of the agent."""
    with pytest.raises(ValueError, match="final") as told:
        patterns(["fine.test/a", pattern])
    assert repr(pattern) in str(told.value)


def by_archive(namespace: str) -> Claim:
    """Somebody of a namespace, without any Secret."""
    return Claim(namespace=namespace)


ARCHIVED = brought({}, REPOSITORY, "team-a")
ARCHIVES: dict[str, tuple[Mapping[str, Record] | None, str, bool, bool]] = {
    "who brought it": (ARCHIVED, "team-a", True, True),
    "another namespace": (ARCHIVED, "team-b", False, False),
    "who has no namespace": (ARCHIVED, "", False, False),
    "one of two who brought it": (brought(ARCHIVED, REPOSITORY, "team-b"), "team-a", True, False),
    "who brought what a registry has given to all": (noted(ARCHIVED, REPOSITORY, None, mark), "team-a", True, False),
    "another, of what a registry has given to all": (noted(ARCHIVED, REPOSITORY, None, mark), "team-b", True, False),
    "who brought what a registry has given to another": (brought(PRESENT, REPOSITORY, "team-b"), "team-b", True, False),
    "what was loaded by hand": (None, "team-a", True, False),
    "the same, by hand under another name": (brought({}, "r.test/other", "team-b"), "team-a", True, False),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_whose_an_image_from_an_archive_is(case: str) -> None:
    """Of the namespaces that brought it; and only one that has it alone may replace it."""
    records, namespace, use, replace = ARCHIVES[case]
    assert allowed(Rule(), REPOSITORY, records, by_archive(namespace), mark) is use
    assert replaceable(records, REPOSITORY, namespace) is replace


@pytest.mark.parametrize("policy", list(Policy))
def test_no_setting_opens_an_archive_to_others(policy: Policy) -> None:
    """It says nothing of what no registry has vouched for."""
    rule = Rule(policy, patterns(["r.test/*"]) if policy is Policy.NEVER_VERIFY_ALLOWLISTED_IMAGES else ())
    assert allowed(rule, REPOSITORY, ARCHIVED, by_archive("team-a"), mark)
    assert not allowed(rule, REPOSITORY, ARCHIVED, by_archive("team-b"), mark)


def test_only_so_many_namespaces_are_kept() -> None:
    """The last ones, each once."""
    records: Mapping[str, Record] = {}
    for number in range(MOST_GRANTS + 5):
        records = brought(brought(records, REPOSITORY, f"team-{number}"), REPOSITORY, f"team-{number}")
    assert records[REPOSITORY].archives == tuple(f"team-{number}" for number in range(5, MOST_GRANTS + 5))


CASES = {
    "the same Secret": (claims(OURS), True),
    "its credentials, renewed": (claims(THEIRS), True),
    "another namespace with the same credentials": (claims(OURS, SecretId("team-b", "regcred", "uid-2")), True),
    "another namespace with other credentials": (claims(THEIRS, SecretId("team-b", "regcred", "uid-2")), False),
    "another namespace with a Secret of the same name and uid": (claims(THEIRS, SecretId("team-b", "regcred", "uid-1")), False),
    "a Secret made anew with other credentials": (claims(THEIRS, SecretId("team-a", "regcred", "uid-9")), False),
    "a Secret made anew with the same credentials": (claims(OURS, SecretId("team-a", "regcred", "uid-9")), True),
    "credentials for another registry": (claims(OURS, registry="other.test"), False),
    "no Secret": (NOTHING, False),
    "the same Secret, while the API server is away": (unread("team-a", "regcred"), True),
    "another Secret, while it is away": (unread("team-a", "other"), False),
    "another namespace's, while it is away": (unread("team-b", "regcred"), False),
}


@pytest.mark.parametrize("case", CASES)
def test_who_was_let_in(case: str) -> None:
    """Whoever shows credentials that were taken once, and whose Secret they were."""
    claim, wanted = CASES[case]
    assert allowed(Rule(), REPOSITORY, PRESENT, claim, mark) is wanted


def test_a_right_is_to_one_repository_alone() -> None:
    """Another may hold the same image, and be more private."""
    assert not allowed(Rule(), "r.test/other", PRESENT, claims(OURS), mark)
    assert not allowed(Rule(), REPOSITORY, {}, claims(OURS), mark)


def test_without_credentials_or_by_the_nodes_own_it_is_for_everybody() -> None:
    """And stays so."""
    for used in (None, Candidate(OURS, "the node's file")):
        records = noted(PRESENT, REPOSITORY, used, mark)
        assert records[REPOSITORY] == Record(everybody=True)
        assert allowed(Rule(), REPOSITORY, records, NOTHING, mark)
        assert noted(records, REPOSITORY, Candidate(THEIRS, "", SECRET), mark) == records


def test_who_is_let_in_is_noted_beside_the_others() -> None:
    """A Secret once, with its credentials of now; and not for ever more."""
    other = SecretId("team-b", "regcred", "uid-2")
    records = noted(PRESENT, REPOSITORY, Candidate(THEIRS, "", other), mark)
    assert records[REPOSITORY].grants == (Grant(SECRET, mark(OURS)), Grant(other, mark(THEIRS)))
    again = noted(records, REPOSITORY, Candidate(THEIRS, "", SECRET), mark)
    assert again[REPOSITORY].grants == (Grant(other, mark(THEIRS)), Grant(SECRET, mark(THEIRS)))
    for number in range(2 * MOST_GRANTS):
        again = noted(again, REPOSITORY, Candidate(OURS, "", SecretId("many", "s", str(number))), mark)
    assert len(again[REPOSITORY].grants) == MOST_GRANTS


def test_a_fingerprint_tells_credentials_apart_and_gives_nothing_away() -> None:
    """And it is another on each node."""
    every = [
        Credential("a", "b"),
        Credential("ab", ""),
        Credential("", "ab"),
        Credential(identity_token="ab"),
        Credential(registry_token="ab"),
    ]
    assert len({mark(one) for one in every}) == len(every)
    assert fingerprint(OURS, b"other") != mark(OURS)
    assert OURS.username not in mark(OURS)[:2] or len(mark(OURS)) == 64
