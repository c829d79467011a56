"""Who a process is."""

import pytest

from controller.runtime.oci import User, resolve_user
from controller.runtime.port import InvalidConfig

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
        ("app:staff", User(1001, 50, (50,))),
        ("app:extra", User(1001, 2001, (2001,))),
        ("app:7", User(1001, 7, (7,))),
        ("5", User(5, 0, (0,))),
        ("5:6", User(5, 6, (6,))),
        (":6", User(0, 6, (6,))),
        ("1234", User(7, 8, (8,))),
        ("app:99", User(1001, 98, (98,))),
    ],
)
def test_a_user_is_resolved_as_docker_does(user: str, expected: User) -> None:
    """Names first, then numbers; groups of the user unless a group is given."""
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
