"""Texts of containerd and of registries become failures of a push, each by its cause, and never one of a pull."""

import grpc
import pytest

from controller.runtime import port
from controller.runtime.containerd.errors import translate
from controller.runtime.containerd.image.push_failures import push_failure
from controller.runtime.reference import parse
from tests.unit.runtime.test_failures import CODES, error

REF = parse("registry.test:5000/team/app-401:1")
URL = "https://registry.test:5000/v2/team/app-401"
HEAD = f'failed to do request: Head "{URL}/blobs/sha256:0": '
POST = f"unexpected status from POST request to {URL}/blobs/uploads/: "
PUT = f"unexpected status from PUT request to {URL}/manifests/1: "

CASES = {
    "no permission": (CODES.PERMISSION_DENIED, POST + "403 Forbidden", port.ImageForbidden, "does not permit to push"),
    "no credentials": (
        CODES.UNAUTHENTICATED,
        "push access denied, repository does not exist or may require authorization: authorization failed: no basic auth",
        port.CredentialsMissing,
        "wants credentials of somebody who may push",
    ),
    "unauthorized": (CODES.UNAUTHENTICATED, POST + "401 Unauthorized", port.CredentialsMissing, "wants credentials"),
    "no project": (CODES.NOT_FOUND, POST + "404 Not Found", port.ImageNotFound, "may have to be made first"),
    "a mirror": (CODES.UNKNOWN, POST + "405 Method Not Allowed", port.ImageForbidden, "takes no pushes"),
    "too large": (CODES.UNKNOWN, POST + "413 Request Entity Too Large", port.ImageFailure, "takes no layer as large"),
    "rate limited": (CODES.UNAVAILABLE, POST + "429 Too Many Requests", port.RateLimited, "needed to push"),
    "out of order": (CODES.UNAVAILABLE, PUT + "503 Service Unavailable", port.RegistryUnreachable, "503 Service Unavailable"),
    "its disk is full": (CODES.UNKNOWN, PUT + "500 Internal Server Error", port.RegistryUnreachable, "is out of order"),
    "an index that names what is absent": (
        CODES.UNKNOWN,
        f"manifest list/index references to blobs and/or manifests are missing in your target registry: {PUT}400 Bad Request",
        port.ImageFailure,
        "lacks a part of what that names",
    ),
    "hosts.toml without push": (CODES.NOT_FOUND, "no push hosts: not found", port.ImageForbidden, "capability push"),
    "refused": (
        CODES.UNKNOWN,
        HEAD + "dial tcp 10.0.0.1:443: connect: connection refused",
        port.RegistryUnreachable,
        "nothing listens on 10.0.0.1:443",
    ),
    "an authority that is not known": (
        CODES.UNKNOWN,
        HEAD + "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        port.RegistryUntrusted,
        "authority that this node does not know",
    ),
    "broken in the middle": (
        CODES.UNKNOWN,
        f'failed to do request: Put "{URL}/blobs/uploads/1": write tcp 10.0.0.2:1->10.0.0.1:443: write: broken pipe',
        port.RegistryUnreachable,
        "broke while image registry.test:5000/team/app-401:1 was pushed: broken pipe",
    ),
    "a part that is gone": (
        CODES.NOT_FOUND,
        f"content digest sha256:{'0' * 64}: not found",
        port.ImageFailure,
        "no longer on the node",
    ),
    "something else": (CODES.UNKNOWN, "oddity", port.ImageFailure, "image registry.test:5000/team/app-401:1: oddity"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_push_failed_by(case: str) -> None:
    """The class and the cause; credentials that were shown are those that are not accepted."""
    code, text, kind, words = CASES[case]
    meant = push_failure(translate(error(code, text)), REF)
    assert type(meant) is kind
    assert words in str(meant)
    assert "pull" not in str(meant)
    assert str(REF) in str(meant)
    if kind is port.CredentialsMissing:
        assert "does not accept the credentials" in str(push_failure(translate(error(code, text)), REF, shown=True))


def test_what_is_of_containerd_itself() -> None:
    """That it is away says nothing of a registry."""
    meant = push_failure(translate(error(grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses")), REF)
    assert type(meant) is port.Unavailable
