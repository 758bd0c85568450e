"""The command reference of docs/cli.md equals the program's help."""

from __future__ import annotations

from tests.command_reference import PAGE, with_reference


def test_the_command_reference_is_up_to_date() -> None:
    page = PAGE.read_text()

    assert with_reference(page) == page, "docs/cli.md is out of date. Run `make docs`."
