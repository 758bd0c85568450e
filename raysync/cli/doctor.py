"""`raysync doctor`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli.error_handling import EXIT_FAILED
from raysync.cli.output import words
from raysync.cli.output.console import tell_json
from raysync.cli.output.streams import keep_exit_code

if TYPE_CHECKING:
    from rich.console import Console

    from raysync.models.checks import Check

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    tenant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLUG", help="Look at this tenant; may be repeated. [default: all of them]"
        ),
    ] = None,
    forget_limits: Annotated[
        bool,
        typer.Option(
            "--forget-limits",
            help="Forget what was learned of Discord's limits, then look; the next run learns it "
            "anew.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was found as JSON, and nothing else.")
    ] = False,
) -> None:
    """Look at everything a sync depends on, and say what to do about what is missing.

    Database, schema, disk, clocks, Ray, and for each tenant: token, intents, guild, the permission
    that each channel lacks, jobs that were abandoned, channels that were given up.

    Exit codes: 0 nothing fails, 1 something does.
    """
    from raysync.doctor import examine
    from raysync.settings import read_settings

    keep_exit_code()  # which says whether anything fails
    found = asyncio.run(examine(read_settings(), tenant or (), forget_limits=forget_limits))
    if as_json:
        tell_json(found.model_dump_json(indent=2))
    else:
        from raysync.cli.output.console import out

        show(out(), found.checks)
    raise typer.Exit(0 if found.is_healthy else EXIT_FAILED)


def show(console: Console, checks: list[Check]) -> None:
    """Print a line for each thing, and under it what to do, tenant by tenant."""
    from rich.table import Table
    from rich.text import Text

    about = dict.fromkeys(each.tenant for each in checks)
    for number, tenant in enumerate(sorted(about, key=lambda each: each or "")):
        if number:
            console.print()
        console.print(Text(tenant or "this installation", "bold"))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, style="dim")
        grid.add_column(overflow="fold")
        for each in (check for check in checks if check.tenant == tenant):
            told = Text(words.printable(each.says))
            if each.advice:
                told.append(f"\n{words.printable(each.advice)}", "italic")
            mark = Text(f"  {each.status.value}", _STYLES[each.status.value])
            grid.add_row(mark, each.name, told)
        console.print(grid)
