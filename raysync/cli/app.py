"""The Typer application with all commands. Commands import heavy modules when they run."""

from __future__ import annotations

from typing import Annotated

import typer

from raysync.cli import (
    audit,
    dead_letters,
    doctor,
    export,
    report,
    reset,
    status,
    tail,
    tenant,
)
from raysync.cli.database import commands as database
from raysync.cli.demo.command import demo
from raysync.cli.emulator import commands as emulator
from raysync.cli.error_handling import RaysyncGroup
from raysync.cli.output.console import print_line
from raysync.cli.privacy import commands as privacy
from raysync.cli.privacy.forget import forget
from raysync.cli.runs import resume_cancel, schedule, start, submit, verify

app = typer.Typer(
    cls=RaysyncGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: no types of flags, no frames, and half the start-up time
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from raysync import __version__

        print_line(f"raysync {__version__}")
        raise typer.Exit


@app.callback()
def raysync(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
    debug: Annotated[  # read by RaysyncGroup
        bool,
        typer.Option("--debug", envvar="RAYSYNC_DEBUG", help="Show the traceback of an error."),
    ] = False,
) -> None:
    """Keep a complete, true copy of Discord servers in PostgreSQL.

    As fast as Discord allows, and never faster. To begin, run `raysync demo`.
    """


app.command()(start.start)
app.command(context_settings={"allow_interspersed_args": False})(submit.submit)
app.command(context_settings=schedule.PASS_OPTIONS_ON)(schedule.schedule)
app.command()(tail.tail)
app.command()(status.status)
app.command()(report.report)
app.command()(resume_cancel.resume)
app.command()(resume_cancel.cancel)
app.command()(verify.verify)
app.command()(doctor.doctor)
app.command()(audit.audit)
app.command()(reset.reset)
app.command()(export.export)
app.command()(forget)
app.add_typer(privacy.app, name="privacy")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(tenant.app, name="tenant")
app.add_typer(database.app, name="db")
app.command()(demo)
app.add_typer(emulator.app, name="emulator")
