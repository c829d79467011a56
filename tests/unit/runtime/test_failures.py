"""Texts of containerd, registries and Go's libraries become failures of a pull, each by its cause."""

import grpc
import grpc.aio
import pytest

from controller.runtime import port
from controller.runtime.containerd.errors import translate
from controller.runtime.containerd.image.failures import image_failure, not_found, of_content
from controller.runtime.reference import parse

CODES = grpc.StatusCode
REF = parse("registry.test:5000/team/app-401:1")
RESOLVE = "failed to resolve image: "
HEAD = RESOLVE + 'failed to do request: Head "https://registry.test:5000/v2/team/app-401/manifests/1": '
ASKED = RESOLVE + "unexpected status from HEAD request to https://registry.test:5000/v2/team/app-401/manifests/1: "
TLS = HEAD + "tls: failed to verify certificate: "
COPY = "failed to copy: "


def error(code: grpc.StatusCode, text: str) -> grpc.aio.AioRpcError:
    """An error as gRPC raises it."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=text)


CASES = {
    "not found": (CODES.NOT_FOUND, f"{RESOLVE}{REF}: not found", port.ImageNotFound, "no such repository, or no tag 1 in it"),
    "a layer is not found": (
        CODES.NOT_FOUND,
        COPY + "httpReadSeeker: failed open: could not fetch content descriptor sha256:0 (x) from remote: not found",
        port.ImageNotFound,
        "lacks a part",
    ),
    "refused": (
        CODES.UNKNOWN,
        HEAD + "dial tcp 10.0.0.1:443: connect: connection refused",
        port.RegistryUnreachable,
        "connection refused, nothing listens on 10.0.0.1:443",
    ),
    "no such host": (
        CODES.UNKNOWN,
        HEAD + "dial tcp: lookup registry.test on 10.0.0.2:53: no such host",
        port.RegistryUnreachable,
        "the name 'registry.test' is not known to the node's DNS",
    ),
    "no such host, without a server": (
        CODES.UNKNOWN,
        HEAD + "dial tcp: lookup registry.test: no such host",
        port.RegistryUnreachable,
        "the name 'registry.test' is not known",
    ),
    "DNS is away": (
        CODES.UNKNOWN,
        HEAD + "dial tcp: lookup registry.test on 10.0.0.2:53: read udp 10.0.0.1:4->10.0.0.2:53: i/o timeout",
        port.RegistryUnreachable,
        "the node's DNS does not answer for 'registry.test'",
    ),
    "no route": (
        CODES.UNKNOWN,
        HEAD + "dial tcp 10.0.0.1:443: connect: no route to host",
        port.RegistryUnreachable,
        "no route to 10.0.0.1:443",
    ),
    "no network": (
        CODES.UNKNOWN,
        HEAD + "dial tcp 10.0.0.1:443: connect: network is unreachable",
        port.RegistryUnreachable,
        "no route to 10.0.0.1:443",
    ),
    "no answer": (
        CODES.UNKNOWN,
        HEAD + "dial tcp 10.0.0.1:443: i/o timeout",
        port.RegistryUnreachable,
        "no answer from 10.0.0.1:443",
    ),
    "plain HTTP": (
        CODES.UNKNOWN,
        HEAD + "http: server gave HTTP response to HTTPS client",
        port.RegistryUntrusted,
        "speaks plain HTTP",
    ),
    "HTTPS": (CODES.UNKNOWN, ASKED + "400 Bad Request", port.RegistryUnreachable, "may speak HTTPS"),
    "unknown authority": (
        CODES.UNKNOWN,
        TLS + "x509: certificate signed by unknown authority",
        port.RegistryUntrusted,
        "an authority that this node does not know",
    ),
    "expired": (
        CODES.UNKNOWN,
        TLS
        + "x509: certificate has expired or is not yet valid: current time 2026-01-02T00:00:00Z is after 2026-01-01T00:00:00Z",
        port.RegistryUntrusted,
        "has expired, or the node's clock is wrong",
    ),
    "another host": (
        CODES.UNKNOWN,
        TLS + "x509: certificate is valid for elsewhere.test, not registry.test",
        port.RegistryUntrusted,
        "is for another host, needed for image registry.test:5000/team/app-401:1: certificate is valid for elsewhere.test",
    ),
    "a client certificate is wanted": (
        CODES.UNKNOWN,
        HEAD + "remote error: tls: certificate required",
        port.RegistryUntrusted,
        "wants a certificate of this node",
    ),
    "another failure of TLS": (
        CODES.UNKNOWN,
        HEAD + "remote error: tls: protocol version not supported",
        port.RegistryUntrusted,
        "no TLS with registry registry.test:5000",
    ),
    "out of order": (
        CODES.UNKNOWN,
        ASKED + "503 Service Unavailable",
        port.RegistryUnreachable,
        "answered 503 Service Unavailable",
    ),
    "too many requests": (CODES.UNKNOWN, ASKED + "429 Too Many Requests", port.RateLimited, "429"),
    "no permission": (CODES.UNKNOWN, ASKED + "403 Forbidden", port.ImageForbidden, "does not permit"),
    "no credentials": (CODES.UNKNOWN, ASKED + "401 Unauthorized", port.CredentialsMissing, "wants credentials"),
    "as Docker Hub says it": (
        CODES.UNKNOWN,
        RESOLVE + "pull access denied, repository does not exist or may require authorization: server message: "
        "insufficient_scope: authorization failed",
        port.CredentialsMissing,
        "answer so for what does not exist",
    ),
    "wrong credentials": (
        CODES.UNKNOWN,
        RESOLVE + "failed to authorize: failed to fetch oauth token: unexpected status from GET request to "
        "https://auth.test/token?scope=x: 401 Unauthorized",
        port.CredentialsMissing,
        "does not accept the credentials",
    ),
    "another platform": (
        CODES.NOT_FOUND,
        "no match for platform in manifest: not found",
        port.PlatformMissing,
        "platform linux/",
    ),
    "a layer that contradicts itself": (
        CODES.UNKNOWN,
        (
            'failed to extract layer (application/vnd.oci.image.layer.v1.tar+gzip sha256:f0) to overlayfs as "extract-1": '
            "mkparent /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/8/fs/a/b: not a directory"
        ),
        port.ImageFailure,
        "hides files below what is a file in it",
    ),
    "disk full, fetching": (
        CODES.UNKNOWN,
        COPY + "write /var/lib/containerd/io.containerd.content.v1.content/ingest/x/data: no space left on device",
        port.DiskFull,
        "no room on the node's disk",
    ),
    "disk full, unpacking": (
        CODES.UNKNOWN,
        'failed to extract layer (x sha256:0) to overlayfs as "extract-1": failed to write: no space left on device',
        port.DiskFull,
        "no room on the node's disk",
    ),
    "another digest": (
        CODES.FAILED_PRECONDITION,
        'failed commit on ref "layer-sha256:0": unexpected commit digest sha256:1, expected sha256:0: failed precondition',
        port.ImageDamaged,
        "not what its digest says",
    ),
    "another content": (
        CODES.UNKNOWN,
        'wrong diff id "sha256:1" calculated on extraction "sha256:2"',
        port.ImageDamaged,
        "digest",
    ),
    "more than announced": (
        CODES.FAILED_PRECONDITION,
        COPY + "httpReadSeeker: read past expected size 5: failed precondition",
        port.ImageDamaged,
        "digest",
    ),
    "a reset": (
        CODES.UNKNOWN,
        COPY + "read tcp 10.0.0.1:1->10.0.0.2:2: read: connection reset by peer",
        port.RegistryUnreachable,
        "connection reset by peer; what is there already is kept",
    ),
    "an end too early": (
        CODES.UNAVAILABLE,
        COPY + "short read: expected 9 bytes but got 5: unexpected EOF",
        port.RegistryUnreachable,
        "unexpected EOF",
    ),
    "containerd is away": (CODES.UNAVAILABLE, "connection closed", port.Unavailable, "containerd"),
    "schema 1 of a registry without digests": (
        CODES.UNIMPLEMENTED,
        "method Transfer not implemented for containerd.types.transfer.OCIRegistry to containerd.types.transfer.ImageStore",
        port.ImageFailure,
        "schema 1",
    ),
    "schema 1": (CODES.INVALID_ARGUMENT, "schema 1 image manifests are no longer supported", port.ImageFailure, "schema 1"),
    "something new": (CODES.UNKNOWN, "the moon is in the way", port.ImageFailure, "the moon is in the way"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_failed_pull_says_whose_fault_it_is(name: str) -> None:
    """The node, the network, the registry, the name or the permission; a number in the name misleads nobody."""
    code, text, kind, words = CASES[name]
    failure = image_failure(translate(error(code, text)), REF, shown=name == "wrong credentials")
    assert type(failure) is kind
    assert words in str(failure)
    assert isinstance(failure, port.Unavailable) or str(REF) in str(failure)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (
            "failed to extract layer (x.tar+gzip sha256:1) to overlayfs as extract-1: unexpected EOF",
            True,
        ),
        ("content digest sha256:1: not found", True),
        ("unmarshal image config: unexpected end of JSON input", True),
        ("failed to resolve image: registry.test:5000/app:1: not found", False),
        ("failed to do request: Head x: EOF", False),
    ],
)
def test_what_may_be_damaged_on_the_node(said: str, wanted: bool) -> None:  # noqa: FBT001
    """A failure of what was fetched, now or before, and none on the way to the registry."""
    failure = image_failure(translate(error(CODES.UNKNOWN, said)), REF)
    failure.__cause__ = port.RuntimeFailure(said)
    assert of_content(failure) is wanted


@pytest.mark.parametrize(
    ("written", "repository", "words"),
    [
        ("nginx:2", False, "there is no repository library/nginx"),
        ("nginx:2", True, "its repository library/nginx has no tag 2"),
        (f"nginx@sha256:{'1' * 64}", True, "has no digest sha256:11"),
        ("nginx", None, "no such repository, or no tag latest in it"),
    ],
)
def test_what_is_not_there(written: str, repository: bool | None, words: str) -> None:  # noqa: FBT001 - a table
    """The repository, or something in it, as far as the registry says."""
    assert words in str(not_found(parse(written), repository))


def test_a_mirror_is_told_with_the_registry() -> None:
    """By whose fault it failed."""
    text = ASKED.replace("registry.test:5000", "mirror.test") + "503 Service Unavailable"
    assert "registry registry.test:5000 (by way of mirror.test) is out of order" in str(
        image_failure(translate(error(CODES.UNKNOWN, text)), REF)
    )


def test_no_signature_of_a_redirected_url_is_told() -> None:
    """Registries redirect to storage with the permission in the query."""
    text = 'failed to copy: failed open: failed to do request: Get "https://s3.test/blob?X-Amz-Signature=secret": EOF'
    assert "secret" not in str(translate(error(CODES.UNKNOWN, text)))
    assert "secret" not in str(image_failure(translate(error(CODES.UNKNOWN, text)), REF))


def test_what_a_mirror_answers_is_understood() -> None:
    """It is asked with the registry's name in the query, after which the sentence goes on."""
    asked = "https://mirror.test/v2/app/manifests/1?ns=registry.test"
    for answer, kind in (("503 Service Unavailable", port.RegistryUnreachable), ("401 Unauthorized", port.CredentialsMissing)):
        text = f"failed to resolve image: unexpected status from HEAD request to {asked}: {answer}"
        told = image_failure(translate(error(CODES.UNKNOWN, text)), parse("registry.test/app:1"))
        assert isinstance(told, kind)
        assert "registry.test (by way of mirror.test)" in str(told)
        assert "?ns=" not in str(told)
