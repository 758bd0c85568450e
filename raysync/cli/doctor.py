"""Command `raysync doctor`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli.error_handling import EXIT_FAILED
from raysync.cli.output import words
from raysync.cli.output.console import print_json
from raysync.cli.output.invocation import as_invoked
from raysync.cli.output.streams import keep_exit_code

if TYPE_CHECKING:
    from rich.console import Console

    from raysync.models.checks import Check

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    tenant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLUG", help="Check this tenant. Repeat it for several. [default: all]"
        ),
    ] = None,
    forget_limits: Annotated[
        bool,
        typer.Option(
            "--forget-limits",
            help="Forget the rate limits that were learned, then check. The next run learns them "
            "again.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the checks as JSON, and nothing else.")
    ] = False,
) -> None:
    """Check everything a sync needs, and say how to fix what is wrong.

    Checks the database, its schema, disks, clocks, Ray, the secret key, the proxy and the rate
    limits that were learned. For each tenant it checks the token, intents, guild, missing
    permissions, abandoned jobs, channels that were given up, and unfinished erasures.

    Exit codes: 0 nothing fails, 1 something fails.
    """
    from raysync.doctor import examine
    from raysync.settings import read_settings

    keep_exit_code()  # the exit code says whether anything fails
    found = asyncio.run(examine(read_settings(), tenant or (), forget_limits=forget_limits))
    if as_json:
        print_json(found.model_dump_json(indent=2))
    else:
        from raysync.cli.output.console import out

        show(out(), found.checks)
    raise typer.Exit(0 if found.is_healthy else EXIT_FAILED)


def show(console: Console, checks: list[Check]) -> None:
    """Print a line for each check, and below it what to do, tenant by tenant."""
    from rich.table import Table
    from rich.text import Text

    tenants = {check.tenant for check in checks}
    for number, tenant in enumerate(sorted(tenants, key=lambda slug: slug or "")):
        if number:
            console.print()
        console.print(Text(tenant or "this installation", "bold"))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, style="dim")
        grid.add_column(overflow="fold")
        for check in checks:
            if check.tenant != tenant:
                continue
            text = Text(as_invoked(words.printable(check.says)))
            if check.advice:
                text.append(f"\n{as_invoked(words.printable(check.advice))}", "italic")
            mark = Text(f"  {check.status.value}", _STYLES[check.status.value])
            grid.add_row(mark, check.name, text)
        console.print(grid)
