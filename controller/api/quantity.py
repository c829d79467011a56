"""Resource quantities, as `k8s.io/apimachinery/pkg/api/resource` defines them."""

import re
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

PATTERN: Final = (
    r"^(\+)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
"""The apimachinery pattern, without a minus sign: a negative limit means nothing."""

_NUMBER = re.compile(r"^\+?(?P<number>[0-9]*\.?[0-9]*)(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$")
_SUFFIX: Final = {
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    **{letter: Decimal(10) ** (3 * power) for power, letter in enumerate("MGTPE", start=2)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def parse(quantity: str | float) -> Decimal:
    """The value of a quantity in its base unit (cores, bytes).

    Raises:
        ValueError: when it is not a quantity, in words that name it.
    """
    match = _NUMBER.match(str(quantity))
    if not match or not any(c.isdigit() for c in match["number"]):
        raise ValueError(f"{quantity!r} is not a quantity: write for example 500m, 1.5, 64Mi or 1G")
    suffix = match["suffix"] or ""
    factor = (
        Decimal(10) ** int(suffix[1:]) if suffix[:1] in {"e", "E"} and len(suffix) > 1 and suffix[1] != "i" else _SUFFIX[suffix]
    )
    return Decimal(match["number"]) * factor


def millis(quantity: str | float) -> int:
    """A CPU quantity in thousandths of a core, rounded up as Kubernetes does."""
    return int((parse(quantity) * 1000).to_integral_value(ROUND_CEILING))


def whole(quantity: str | float) -> int:
    """A quantity in whole base units (bytes for memory), rounded up as Kubernetes does."""
    return int(parse(quantity).to_integral_value(ROUND_CEILING))


def of_millis(amount: int) -> str:
    """Thousandths of a core as Kubernetes writes them: `1500m`, `2`."""
    return f"{amount}m" if amount % 1000 else str(amount // 1000)


def of_bytes(amount: int) -> str:
    """Bytes by the largest binary suffix that leaves a whole number: `64Mi`, `1000`."""
    for power in range(len("KMGTPE"), 0, -1):
        if amount and amount % 1024**power == 0:
            return f"{amount // 1024**power}{'KMGTPE'[power - 1]}i"
    return str(amount)


def _checked(value: Any) -> Any:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        parse(value)
        return str(value)
    return value


Quantity = Annotated[
    str,
    BeforeValidator(_checked),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            "x-kubernetes-validations": [
                {
                    "rule": "type(self) == int ? self >= 0 : self.matches(r'" + PATTERN + "')",
                    "message": "not a quantity: write for example 500m, 1.5, 64Mi or 1G",
                }
            ],
        }
    ),
]
"""A quantity as written by the user; `parse`, `millis` and `whole` give its value."""
