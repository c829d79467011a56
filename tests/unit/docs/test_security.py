"""The page on security tells what is tested."""

from tests.attacks.table import PAGE, renewed


def test_the_tables_of_attacks_are_those_of_the_tests() -> None:
    """Each attack of the tests stands in docs/security.md, with the rule that refuses it (`python -m tests.attacks.table`)."""
    page = PAGE.read_text()
    assert page == renewed(page)
