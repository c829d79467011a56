"""The attacks as a table of docs/security.md: `python -m tests.attacks.table` renews it."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.attacks import agent, tenant
from tests.attacks.case import AGENT, SCHEMA, Attack

PAGE: Final = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN: Final = "<!-- attacks: made by `python -m tests.attacks.table` -->"
END: Final = "<!-- attacks: end -->"


def rendered() -> str:
    """The tables, with their headings."""
    both = tenant.attacks("baseline")
    more = [a for a in tenant.attacks("restricted") if a.tries not in {b.tries for b in both}]
    dropped = [(tries, f"{SCHEMA}: dropped without validation") for tries, _, field in tenant.dropped("baseline")]
    images = [(f"run an image whose name is {what}", f"{AGENT}: `InvalidImageName`") for what in tenant.IMAGES]
    rights = _rows(tenant.with_instances("baseline"))
    parts = [
        ("A stolen agent", ["Tries to", "Refused by", "With all rights besides, refused by"], _deep(agent.ATTACKS)),
        (
            "A stolen agent with the right to tokens of ServiceAccounts (`agent.serviceAccountTokens.enabled`)",
            ["Tries to", "Refused by"],
            _rows(agent.WITH_TOKENS),
        ),
        ("A token of the agents' ServiceAccount that is bound to no node", ["Tries to", "Refused by"], _rows(agent.UNBOUND)),
        (
            "A tenant with `edit`, at level baseline and restricted",
            ["Tries to", "Refused by"],
            [*_rows(both), *dropped, *images],
        ),
        ("The same at level restricted, besides", ["Tries to", "Refused by"], _rows(more)),
        ("A tenant who may also create and change instances", ["Tries to", "Refused by"], rights),
    ]
    return "\n\n".join(f"### {title} ({len(rows)})\n\n{_table(head, rows)}" for title, head, rows in parts)


def renewed(page: str) -> str:
    """The page with the tables as they are now."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{rendered()}\n\n{END}{rest.partition(END)[2]}"


def _rows(attacks: Iterable[Attack]) -> list[tuple[str, ...]]:
    return [(a.tries, a.by) for a in attacks]


def _deep(attacks: Iterable[Attack]) -> list[tuple[str, ...]]:
    return [(a.tries, a.by, a.depth or "-") for a in attacks]


def _table(head: list[str], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
    sys.exit(0)
