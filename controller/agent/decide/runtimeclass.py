"""By which of the node's runtime handlers an instance's containers run (kubernetes.io, "Runtime Class"). Pure."""

from collections.abc import Collection, Iterable, Mapping

from controller.agent.decide.observation import RuntimeChoice, restart_count
from controller.api import labels
from controller.runtime.port import ContainerState


def choose(
    name: str | None,
    containers: Iterable[ContainerState],
    classes: Mapping[str, str],
    handlers: Collection[str],
    *,
    complete: bool,
) -> RuntimeChoice:
    """The handler for further containers.

    An instance keeps the handler that it began with: containers that are there already say which, whatever became of the class
    meanwhile, as a pod keeps its sandbox.

    Args:
        name: the spec's runtimeClassName.
        containers: all that there is of the instance.
        classes: handler of each RuntimeClass that is known.
        handlers: names of those that the node has.
        complete: whether `classes` has every class that exists.
    """
    if name is None:
        return RuntimeChoice()
    mine = [c for c in containers if c.labels.get(labels.RUNTIME_CLASS) == name]
    begun = max(mine, key=restart_count, default=None)
    handler = begun.labels.get(labels.RUNTIME_HANDLER) if begun is not None else classes.get(name)
    if handler is None and not complete:
        return RuntimeChoice(problem=f"RuntimeClass {name!r} was not read yet: waiting for the API server")
    if handler is None:
        return RuntimeChoice(problem=f"there is no RuntimeClass {name!r}: create it, or change runtimeClassName", terminal=True)
    if handler not in handlers:
        has = ", ".join(handlers)
        problem = f"RuntimeClass {name!r} asks for the handler {handler!r}, which the node does not have (it has {has})"
        return RuntimeChoice(problem=problem, terminal=True)
    return RuntimeChoice(handler)
