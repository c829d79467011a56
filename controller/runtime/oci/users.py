"""Who a container's process is, from the image's own passwd and group files.

The rules are those of containerd's CRI: a name or number is looked up in /etc/passwd; the group comes from there unless it is
given; supplementary groups are those that list the user in /etc/group, also when a group is given (Docker leaves them out
then; Kubernetes merges them, core/v1 `supplementalGroupsPolicy`). A number that is in no file stands for itself, with group 0.
The own group is always among the supplementary ones, so that a file which its group may not read cannot be reached by dropping
that group.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controller.runtime.port import ContainerConfig, InvalidConfig

_MOST: Final = 2**31 - 1
"""Largest id that Docker and Kubernetes take."""


_NO_ROOT_BY_SPEC: Final = "runAsNonRoot is true and runAsUser is 0, which is root: set runAsUser to another id"
_NO_ROOT_BY_IMAGE: Final = (
    "runAsNonRoot is true and the image will run as root (its USER: {}): set runAsUser to an id other than 0, or use an image "
    "with such a USER"
)


@dataclass(frozen=True, slots=True)
class User:
    """Numbers that the kernel knows."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    """Supplementary groups, the own one first."""


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: frozenset[str]


def container_user(config: ContainerConfig, passwd: str = "", group: str = "") -> User:
    """Who a container's process is: the image's user, unless the container's security says otherwise.

    Raises:
        InvalidConfig: when a name is in neither file, or root is not allowed.
    """
    security = config.security
    user = resolve_user(account_text(config), passwd, group)
    if security.run_as_group is not None:
        user = User(user.uid, security.run_as_group, _united(security.run_as_group, user.groups[1:], ()))
    if security.run_as_non_root and user.uid == 0:
        raise InvalidConfig(_NO_ROOT_BY_SPEC if security.run_as_user == 0 else _NO_ROOT_BY_IMAGE.format(config.user or "none"))
    if security.supplemental_groups:
        user = User(user.uid, user.gid, _united(user.gid, user.groups[1:], security.supplemental_groups))
    return user


def account_text(config: ContainerConfig) -> str:
    """What is looked up in the image's files, in the syntax of USER."""
    security = config.security
    if security.run_as_user is not None:
        return str(security.run_as_user)
    return config.user if security.run_as_group is None else config.user.partition(":")[0]


def _united(own: int, *more: tuple[int, ...]) -> tuple[int, ...]:
    return (own, *sorted({gid for groups in more for gid in groups} - {own}))


def resolve_user(user: str, passwd: str = "", group: str = "") -> User:
    """Resolve an image's USER.

    Args:
        user: empty (root), `user` or `user:group`; each part a name or a number.
        passwd: content of the image's /etc/passwd.
        group: content of the image's /etc/group.

    Raises:
        InvalidConfig: when a name is in neither file, or a number is out of range.
    """
    who, colon, which = user.partition(":")
    account = _account(who or "0", passwd)
    gid = _group(which, group) if colon and which else account.gid
    memberships = tuple(entry.gid for entry in _groups(group) if account.name in entry.members)
    return User(account.uid, gid, _united(gid, memberships))


def _account(text: str, passwd: str) -> _Account:
    number = _number(text)
    for account in _accounts(passwd):
        if account.name == text or account.uid == number:
            return account
    if number is None:
        raise InvalidConfig(f"user {text!r} is not in the image's /etc/passwd")
    return _Account("", number, 0)


def _group(text: str, group: str) -> int:
    number = _number(text)
    for entry in _groups(group):
        if entry.name == text or entry.gid == number:
            return entry.gid
    if number is None:
        raise InvalidConfig(f"group {text!r} is not in the image's /etc/group")
    return number


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    if int(text) > _MOST:
        raise InvalidConfig(f"user or group {text} is out of range: at most {_MOST}")
    return int(text)


def _accounts(passwd: str) -> Iterator[_Account]:
    """The entries of passwd(5); what is no entry is passed over, as getpwent(3) does."""
    for line in passwd.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= 4 and fields[0] and fields[2].isdigit() and fields[3].isdigit():
            yield _Account(fields[0], int(fields[2]), int(fields[3]))


def _groups(group: str) -> Iterator[_Group]:
    """The entries of group(5)."""
    for line in group.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= 3 and fields[0] and fields[2].isdigit():
            members = fields[3].split(",") if len(fields) > 3 else []
            yield _Group(fields[0], int(fields[2]), frozenset(member.strip() for member in members if member.strip()))
