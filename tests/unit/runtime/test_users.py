"""Who a process is."""

import pytest

from controller.runtime.oci import User, container_user, resolve_user
from controller.runtime.port import ContainerConfig, InvalidConfig, Security

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1001:50:app:/home/app:/bin/sh\n1234:x:7:8::/:\nbroken\n+::::::\n"
GROUP = "root:x:0:\nstaff:x:50:app\nextra:x:2001:app,other\nwheel:x:10:root, app\n99:x:98:\nbroken:x\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", User(0, 0, (0, 10))),
        ("root", User(0, 0, (0, 10))),
        ("0", User(0, 0, (0, 10))),
        ("app", User(1001, 50, (50, 10, 2001))),
        ("1001", User(1001, 50, (50, 10, 2001))),
        ("app:", User(1001, 50, (50, 10, 2001))),
        ("app:staff", User(1001, 50, (50, 10, 2001))),
        ("app:extra", User(1001, 2001, (2001, 10, 50))),
        ("app:7", User(1001, 7, (7, 10, 50, 2001))),
        ("5", User(5, 0, (0,))),
        ("5:6", User(5, 6, (6,))),
        (":6", User(0, 6, (6, 10))),
        ("1234", User(7, 8, (8,))),
        ("app:99", User(1001, 98, (98, 10, 50, 2001))),
    ],
)
def test_a_user_is_resolved_as_containerds_cri_does(user: str, expected: User) -> None:
    """Names first, then numbers; the user's memberships always, also beside a group that is given."""
    assert resolve_user(user, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nobody", "'nobody' is not in the image's /etc/passwd"),
        ("app:none", "'none' is not in the image's /etc/group"),
        ("4294967296", "out of range"),
        ("-1", "not in the image"),
    ],
)
def test_what_cannot_be_resolved(user: str, message: str) -> None:
    """The message says which file was looked into."""
    with pytest.raises(InvalidConfig, match=message):
        resolve_user(user, PASSWD, GROUP)


def test_an_image_without_these_files() -> None:
    """Numbers stand for themselves; names cannot be known."""
    assert resolve_user("") == User(0, 0, (0,))
    assert resolve_user("7:8") == User(7, 8, (8,))
    with pytest.raises(InvalidConfig):
        resolve_user("app")


def config(user: str, **security: object) -> ContainerConfig:
    """A container of an image with this USER."""
    return ContainerConfig("c", "i", ("x",), {}, user=user, security=Security(**security))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("user", "security", "expected"),
    [
        ("app:extra", {}, User(1001, 2001, (2001, 10, 50))),
        ("app:extra", {"run_as_user": 0}, User(0, 0, (0, 10))),
        ("no:such", {"run_as_user": 5}, User(5, 0, (0,))),
        ("app", {"run_as_user": 5, "run_as_group": 6}, User(5, 6, (6,))),
        ("root", {"run_as_user": 1001}, User(1001, 50, (50, 10, 2001))),
        ("app:no-such", {"run_as_group": 7}, User(1001, 7, (7, 10, 2001))),
        ("app", {"run_as_group": 10}, User(1001, 10, (10, 2001))),
        ("5:6", {"supplemental_groups": (9, 6, 8)}, User(5, 6, (6, 8, 9))),
        ("app", {"supplemental_groups": (1, 50)}, User(1001, 50, (50, 1, 10, 2001))),
        ("app", {"run_as_non_root": True}, User(1001, 50, (50, 10, 2001))),
    ],
    ids=str,
)
def test_numbers_of_the_spec_take_the_place_of_the_images(user: str, security: dict[str, object], expected: User) -> None:
    """The image's memberships are merged, its own group goes with its user; further groups come on top."""
    assert container_user(config(user, **security), PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("user", "security", "message"),
    [
        ("", {}, "the image will run as root (its USER: none)"),
        ("root", {}, "the image will run as root (its USER: root)"),
        ("0:5", {}, "the image will run as root (its USER: 0:5)"),
        ("toor", {}, "the image will run as root (its USER: toor)"),
        ("app", {"run_as_user": 0}, "runAsUser is 0"),
    ],
)
def test_root_is_refused_by_number(user: str, security: dict[str, object], message: str) -> None:
    """Another name of user 0 is no way around it."""
    with pytest.raises(InvalidConfig) as caught:
        container_user(config(user, run_as_non_root=True, **security), PASSWD + "toor:x:0:0::/:\n", GROUP)
    assert message in str(caught.value)
