"""Who may use an image that is on the node: only who once was let in to it by its registry. Pure.

Source: KEP-2535, "Ensure secret pulled images", and the kubelet's configuration of the same names. What was found out is kept
by digest and repository, since a right to one repository is none to another that holds the same image.

What came by an archive is for the namespaces that named the archive, whatever the node's setting: that it is what its name says
is their word, and no registry's.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from controller.agent.decide.credentials.claim import Claim
from controller.agent.decide.credentials.keyring import Candidate, SecretId
from controller.runtime.port import Credential, InvalidReference
from controller.runtime.reference import parse

MOST_GRANTS: Final = 100
"""Secrets that are kept of one image: a namespace after the other must not let the table grow for ever (as the kubelet)."""


class Policy(StrEnum):
    """For which images that are on the node it is asked (`imagePullCredentialsVerificationPolicy` of a kubelet)."""

    NEVER_VERIFY = "NeverVerify"
    """For none."""
    NEVER_VERIFY_PRELOADED_IMAGES = "NeverVerifyPreloadedImages"
    """For those that Moorage has pulled itself."""
    NEVER_VERIFY_ALLOWLISTED_IMAGES = "NeverVerifyAllowlistedImages"
    """For all but those that are listed."""
    ALWAYS_VERIFY = "AlwaysVerify"
    """For all."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The node's setting."""

    policy: Policy = Policy.NEVER_VERIFY_PRELOADED_IMAGES
    allowlist: tuple[str, ...] = ()
    """Repositories, and beginnings of some that end in `/*` (`preloadedImagesVerificationAllowlist`)."""

    def asks(self, repository: str, *, pulled: bool) -> bool:
        """Whether a right to an image has to be shown; `pulled`: it came to the node by Moorage."""
        match self.policy:
            case Policy.NEVER_VERIFY:
                return False
            case Policy.NEVER_VERIFY_PRELOADED_IMAGES:
                return pulled
            case Policy.NEVER_VERIFY_ALLOWLISTED_IMAGES:
                return not any(_listed(pattern, repository) for pattern in self.allowlist)
            case Policy.ALWAYS_VERIFY:
                return True


def _listed(pattern: str, repository: str) -> bool:
    return repository.startswith(pattern[:-1]) if pattern.endswith("/*") else repository == pattern


@dataclass(frozen=True, slots=True)
class Grant:
    """Credentials of a Secret that a registry took for an image."""

    secret: SecretId
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Record:
    """Who was let in to an image."""

    everybody: bool = False
    """Without credentials, or by the node's own."""
    grants: tuple[Grant, ...] = ()
    archives: tuple[str, ...] = ()
    """Namespaces that brought it by an archive, without any registry's word."""

    @property
    def vouched(self) -> bool:
        """Whether a registry has let anybody in: the image is what its name says."""
        return self.everybody or bool(self.grants)


Records = Mapping[str, Record]
"""Of one digest, by repository; there is none when it did not come by Moorage."""


def fingerprint(credential: Credential, salt: bytes) -> str:
    """What is kept of credentials: tells them apart, and gives nothing of them away."""
    parts = [credential.username, credential.password, credential.identity_token, credential.registry_token]
    return hmac.new(salt, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def allowed(
    rule: Rule,
    repository: str,
    records: Records | None,
    claim: Claim,
    fingerprint_of: Callable[[Credential], str],
    *,
    pulling: bool = False,
) -> bool:
    """Whether an image on the node may be used without asking its registry.

    Args:
        rule: the node's setting.
        repository: registry and path of the image.
        records: what is known of its digest; None when it did not come by Moorage.
        claim: of who wants it.
        fingerprint_of: `fingerprint` with the node's salt.
        pulling: a pull of it was begun, and its end was not noted: who was let in is not known.
    """
    known = records or {}
    record = known.get(repository)
    unvouched = record is not None and not record.vouched
    by_archives = bool(known) and not any(one.vouched for one in known.values())
    pulled = pulling or (records is not None and not by_archives)
    if not unvouched and not rule.asks(repository, pulled=pulled):
        return True
    if record is None:
        return False
    if record.everybody or claim.namespace in record.archives:
        return True
    granted = {(grant.secret.namespace, grant.secret.name) for grant in record.grants}
    if any((secret.namespace, secret.name) in granted for secret in claim.unread):
        return True
    candidates = claim.candidates(repository) if record.grants else ()
    return any(_granted(grant, candidate, fingerprint_of) for candidate in candidates for grant in record.grants)


def _granted(grant: Grant, candidate: Candidate, fingerprint_of: Callable[[Credential], str]) -> bool:
    """The same credentials, whoever has them; or the same Secret, whose credentials have been renewed."""
    return candidate.secret == grant.secret or fingerprint_of(candidate.credential) == grant.fingerprint


def noted(records: Records, repository: str, used: Candidate | None, fingerprint_of: Callable[[Credential], str]) -> Records:
    """The records of a digest after a registry has let somebody in; `used` is None for without credentials."""
    before = records.get(repository, Record())
    if used is None or used.secret is None:
        return {**records, repository: Record(everybody=True, archives=before.archives)}
    if before.everybody:
        return records
    grant = Grant(used.secret, fingerprint_of(used.credential))
    others = [one for one in before.grants if one.secret != used.secret]
    return {**records, repository: replace(before, grants=(*others[-MOST_GRANTS + 1 :], grant))}


def brought(records: Records, repository: str, namespace: str) -> Records:
    """The records of a digest after a namespace has brought it by an archive."""
    before = records.get(repository, Record())
    others = [one for one in before.archives if one != namespace]
    return {**records, repository: replace(before, archives=(*others[-MOST_GRANTS + 1 :], namespace))}


def replaceable(records: Records | None, repository: str, namespace: str) -> bool:
    """Whether an archive of a namespace may take the place of an image on the node: only if it is that namespace's alone.

    By an archive anybody may give any name to what is in it. So it takes no name from what a registry has vouched for, nor from
    what was loaded by hand, nor from another namespace.
    """
    record = (records or {}).get(repository)
    return record is not None and not record.vouched and record.archives == (namespace,)


def patterns(listed: Iterable[str]) -> tuple[str, ...]:
    """An allowlist as it is to be compared: each entry normalised, as images are.

    Raises:
        ValueError: naming the entry that cannot be one.
    """
    return tuple(map(_pattern, listed))


def _pattern(written: str) -> str:
    name = written.removesuffix("/*")
    below = "/image" if name != written else ""
    try:
        parsed = parse(name + below)
    except InvalidReference:
        parsed = None
    if parsed is None or parsed.digest or ":" in (name + below).rpartition("/")[2]:
        raise ValueError(
            f"{written!r} is neither a repository without tag and digest nor the beginning of some with a final /*"
        )
    return parsed.name.removesuffix(below) + ("/*" if below else "")
