"""What comes of one try of a probe or lifecycle handler."""

from dataclasses import dataclass

from controller.agent.decide.health import MOST_TOLD


@dataclass(frozen=True, slots=True)
class Outcome:
    """It succeeded or failed, and what a person should know."""

    ok: bool
    said: str = ""
    warning: bool = False
    """It succeeded, but is worth an Event."""


class NoOutcome(Exception):  # noqa: N818 - nothing was found out, which is no error of ours
    """It could not be made, so nothing is known by it; `str()` of it says why."""


def told(text: str) -> str:
    """Text of a foreign program in one short line."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_TOLD else line[: MOST_TOLD - 1] + "…"
