"""From what somebody typed to one instance, or one container of it. Pure."""

from collections.abc import Callable, Iterable, Sequence

from controller.cli.errors import CommandError
from controller.cli.inventory import Known


def instance(text: str, instances: Sequence[Known]) -> Known:
    """The one instance that is meant by `namespace/name`, a name, or the beginning of a name or uid.

    An exact name goes before a beginning; of two with the same name (deleted and made anew) the wanted one goes first.

    Raises:
        CommandError: listing the candidates when more than one fits, or all that there are when none does.
    """
    tries: tuple[Callable[[Known], bool], ...] = (
        lambda k: text in {k.full_name, k.name, k.uid},
        lambda k: k.full_name.startswith(text) if "/" in text else k.name.startswith(text) or k.uid.startswith(text),
    )
    for fits in tries:
        found = [k for k in instances if fits(k)] if text else []
        wanted = [k for k in found if k.desired is not None and not k.desired.deleting]
        if len(found) > 1 and len({k.full_name for k in found}) == 1 and len(wanted) == 1:
            found = wanted
        if len(found) == 1:
            return found[0]
        if found:
            raise CommandError(f"{text!r} fits more than one instance; say which:\n{_listed(found)}")
    if not instances:
        raise CommandError(f"no instance {text!r}: there is none on this node")
    raise CommandError(f"no instance {text!r} on this node; there are:\n{_listed(instances)}")


def container(name: str, known: Known, say: Callable[[str], None]) -> str:
    """The container that is meant: the named one, else the first, with a word about it when there are others.

    Raises:
        CommandError: listing the containers when there is none of that name.
    """
    names = known.container_names()
    if not names:
        raise CommandError(f"{known.full_name} has no container on this node")
    if name and name not in names:
        raise CommandError(f"{known.full_name} has no container {name!r}; there are: {', '.join(names)}")
    if not name and len(names) > 1:
        say(f"container {names[0]!r} of {', '.join(names)} (choose with -c)")
    return name or names[0]


def _listed(instances: Iterable[Known]) -> str:
    lines = [f"  {k.full_name}" + (f"  (uid {k.uid})" if k.uid else "") for k in instances]
    return "\n".join(lines)
