"""The command `moorage` with another rule of rotation: a token of 600 s is replaced after a second, all others as ever.

Nothing else of it is changed; a test cannot wait for eight minutes.
"""

from controller.agent.tokens import rotation
from controller.cli import main

HASTY_LIFE = 600.0
_rule = rotation.due


def _hasty(given_at: float, life: float, jitter: float) -> float:
    return given_at + 1.0 if life == HASTY_LIFE else _rule(given_at, life, jitter)


if __name__ == "__main__":
    rotation.due = _hasty
    main()
