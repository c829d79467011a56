"""The registry that misbehaves: it passes things through and counts them, and goes wrong as it is told."""

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.images import all_images
from tools.lab import Fault, FaultyRegistry, Registry
from tools.lab.authority import Authority

IMAGE = next(image for image in all_images() if (image.name, image.tag) == ("busybox", "1"))
LAYER = max(IMAGE.blobs, key=lambda blob: len(blob.data))
MANIFEST = "/v2/busybox/manifests/1"
BLOB = f"/v2/busybox/blobs/{LAYER.digest}"


@pytest.fixture(name="faulty")
def _faulty(registry: Registry) -> Iterator[FaultyRegistry]:
    with FaultyRegistry(registry.host) as found:
        yield found


def get(faulty: FaultyRegistry, path: str, **headers: str) -> bytes:
    """The body of an answer."""
    request = urllib.request.Request(f"http://{faulty.host}{path}", headers={"Accept": IMAGE.media_type, **headers})
    with urllib.request.urlopen(request, timeout=10) as answer:
        data: bytes = answer.read()
    return data


def test_without_faults_it_is_the_registry(faulty: FaultyRegistry) -> None:
    """Byte for byte, parts included, and what was served is counted."""
    assert get(faulty, MANIFEST) == IMAGE.manifest.data
    assert get(faulty, BLOB) == LAYER.data
    assert get(faulty, BLOB, Range="bytes=100-") == LAYER.data[100:]
    assert faulty.served("/blobs/") == 2 * len(LAYER.data) - 100
    assert [(r.method, r.range, r.status) for r in faulty.asked("blobs")] == [("GET", "", 200), ("GET", "bytes=100-", 206)]
    faulty.forget()
    assert faulty.served() == 0


def test_a_connection_is_cut_as_often_as_told(faulty: FaultyRegistry) -> None:
    """After so many bytes, by a reset."""
    faulty.faults = [Fault("GET .*/blobs/", cut_after=1000, times=1)]
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        get(faulty, BLOB)
    assert faulty.served("/blobs/") == 1000
    assert get(faulty, BLOB) == LAYER.data


def test_an_answer_of_its_own(faulty: FaultyRegistry) -> None:
    """With status, headers and body."""
    faulty.faults = [Fault("/manifests/", status=429, headers={"Retry-After": "7"}, body=b"slowly")]
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(faulty, MANIFEST)
    with caught.value as answer:
        assert (answer.code, answer.headers["Retry-After"], answer.read()) == (429, "7", b"slowly")


def test_other_bytes_and_no_ranges(faulty: FaultyRegistry) -> None:
    """Of the same length; and the whole, where a part was asked for."""
    faulty.faults = [Fault("/blobs/", corrupt=True, times=1), Fault(ranges=False)]
    told = get(faulty, BLOB)
    assert len(told) == len(LAYER.data)
    assert told != LAYER.data
    assert get(faulty, BLOB, Range="bytes=100-") == LAYER.data


def test_silence(faulty: FaultyRegistry) -> None:
    """Before the answer or in the middle of it, until it is let go of."""
    for after in (0, 1000):
        faulty.faults = [Fault("/blobs/", stall_after=after, times=1)]
        connection = http.client.HTTPConnection(faulty.host, timeout=0.3)
        connection.request("GET", BLOB)
        with pytest.raises(TimeoutError):
            connection.getresponse().read()
        connection.close()
    faulty.release()


def test_a_pace(faulty: FaultyRegistry) -> None:
    """Over all that is sent."""
    faulty.bytes_per_second = 4 * len(LAYER.data)
    began = time.monotonic()
    get(faulty, BLOB)
    assert 0.2 < time.monotonic() - began < 2


def test_tls(registry: Registry, tmp_path: Path) -> None:
    """By an authority of its own: whoever does not know it, or finds the certificate expired or for another host, hangs up."""
    authority = Authority(tmp_path / "authority")
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    cases = {
        "": authority.server("good"),
        "expired": authority.server("old", expired=True),
        "match": authority.server("other", hosts=["DNS:elsewhere.test"]),
    }
    for wrong, context in cases.items():
        with FaultyRegistry(registry.host, tls=context) as faulty:
            if wrong:
                with pytest.raises(urllib.error.URLError, match=wrong):
                    urllib.request.urlopen(f"https://{faulty.host}/v2/", timeout=5, context=trusting)
                continue
            with urllib.request.urlopen(f"https://{faulty.host}/v2/", timeout=5, context=trusting) as answer:
                assert answer.status == 200
            with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
                urllib.request.urlopen(f"https://{faulty.host}/v2/", timeout=5)
