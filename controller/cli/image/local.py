"""The images of this node, joined with who uses them.

Only read: the runtime is asked, and the agent's notes on disk are; neither the agent nor the API server has to be there.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from controller.agent.nodeimages.wanted import FILE
from controller.api.nodeimages import NodeImage
from controller.cli.errors import CommandError
from controller.cli.image.uses import Uses, uses
from controller.cli.inventory import Inventory, read_state, take
from controller.runtime.port import ImageName, ImageState, Runtime


@dataclass(frozen=True, slots=True)
class Local:
    """One name of an image on this node."""

    name: ImageName
    state: ImageState | None
    """None: it is not complete, or not for this node, so that nothing can be run from it."""
    uses: Uses


@dataclass(frozen=True, slots=True)
class Found:
    """What there is."""

    images: tuple[Local, ...]
    """By name."""
    notes: tuple[str, ...] = ()
    """What is not known, and why."""
    pins_known: bool = True


def join(
    names: Iterable[ImageName], states: Iterable[ImageState], inventory: Inventory, pins: Sequence[NodeImage]
) -> tuple[Local, ...]:
    """Every name with what is known of it. Pure."""
    complete = {state.name: state for state in states}
    sorted_names = sorted(names, key=lambda name: name.name)
    used = uses(sorted_names, inventory, pins)
    return tuple(Local(name, complete.get(name.name), used[name.name]) for name in sorted_names)


async def look(runtime: Runtime, state_dir: Path) -> Found:
    """Look at this node. Raises `RuntimeFailure`, and `CommandError` when the agent's state may not be read."""
    names, states = await runtime.image_names(), await runtime.images()
    inventory = take(read_state(state_dir), await runtime.list())
    notes = []
    if not inventory.has_state:
        notes.append(f"no agent keeps its state in {state_dir} (see --state-dir): what is wanted or pinned is not known")
    try:
        pins, known = read_pins(state_dir), True
    except ValueError as exc:
        pins, known = (), False
        notes.append(str(exc))
    return Found(join(names, states, inventory, pins), tuple(notes), known)


def read_pins(state_dir: Path) -> tuple[NodeImage, ...]:
    """What ContainerImages want on this node, as the agent has noted it (`controller/agent/nodeimages/wanted.py`).

    Raises:
        CommandError: when it may not be read.
        ValueError: when it cannot be understood, in words for people.
    """
    path = state_dir / FILE
    try:
        kept = json.loads(path.read_bytes())
        return tuple(NodeImage.model_validate(entry) for entry in kept["images"])
    except FileNotFoundError:
        return ()
    except PermissionError as exc:
        raise CommandError(f"{path} may not be read: run it as root") from exc
    except (ValueError, KeyError, TypeError, ValidationError) as exc:
        raise ValueError(f"{path} cannot be understood: which images are pinned is not known") from exc
