"""Image references are normalised as Docker does."""

import pytest

from controller.runtime.port import InvalidReference
from controller.runtime.reference import parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("grafana/grafana", "docker.io/grafana/grafana:latest"),
        ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:2", "localhost:5000/app:2"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("Registry/app", "Registry/app:latest"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}"),
        ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest"),
    ],
)
def test_a_reference_has_one_normal_form(text: str, normal: str) -> None:
    """What is left out is filled in, and the normal form is its own."""
    assert str(parse(text)) == normal
    assert str(parse(normal)) == normal


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "repository name"),
        ("Nginx", "repository name"),
        ("a//b", "repository name"),
        ("nginx:", "tag"),
        ("nginx:-x", "tag"),
        (f"nginx:{'a' * 129}", "tag"),
        ("nginx@", "'@'"),
        ("nginx@sha256:abc", "digest"),
        ("nginx@md5:" + "a" * 32, "digest"),
        ("-x.io/nginx", "registry"),
        ("a.b:port/nginx", "registry"),
        ("https://nginx", "registry"),
        ("nginx latest", "repository name"),
        ("nginx\n", "repository name"),
        ("nginx:1\n", "tag"),
        (f"nginx@{DIGEST}\n", "digest"),
        ("localhost:5000\n/nginx", "registry"),
        ("../../etc/passwd", "registry"),
        ("file:///etc/passwd", "registry"),
        ("localhost:5000/../nginx", "repository name"),
        ("localhost:5000/nginx:..", "tag"),
        (f"a/{'b' * 260}", "longer than 255"),
    ],
)
def test_what_is_no_reference_says_which_part_is_wrong(text: str, part: str) -> None:
    """The message names the part."""
    with pytest.raises(InvalidReference, match=part):
        parse(text)
