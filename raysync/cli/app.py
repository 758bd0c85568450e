"""The commands, put together. Modules with weight are imported by the commands that need them."""

from __future__ import annotations

from typing import Annotated

import typer

from raysync.cli import (
    audit,
    db,
    dead_letters,
    demo,
    doctor,
    emulator,
    export,
    forget,
    jobs,
    privacy,
    report,
    reset,
    schedule,
    start,
    status,
    submit,
    tenant,
    verify,
)
from raysync.cli.boundary import RaysyncGroup
from raysync.cli.output.console import tell

app = typer.Typer(
    cls=RaysyncGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: no types of flags, no frames, and half the start-up time
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from raysync import __version__

        tell(f"raysync {__version__}")
        raise typer.Exit


@app.callback()
def raysync(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
    debug: Annotated[  # read by RaysyncGroup
        bool, typer.Option("--debug", envvar="RAYSYNC_DEBUG", help="Show where an error arose.")
    ] = False,
) -> None:
    """Keep a complete, true copy of Discord servers in PostgreSQL.

    As fast as Discord allows, and never faster. Begin with `raysync demo`.
    """


app.command()(start.start)
app.command(context_settings={"allow_interspersed_args": False})(submit.submit)
app.command(context_settings=schedule.PASSING_ON)(schedule.schedule)
app.command()(status.status)
app.command()(report.report)
app.command()(jobs.resume)
app.command()(jobs.cancel)
app.command()(verify.verify)
app.command()(doctor.doctor)
app.command()(audit.audit)
app.command()(reset.reset)
app.command()(export.export)
app.command()(forget.forget)
app.add_typer(privacy.app, name="privacy")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(tenant.app, name="tenant")
app.add_typer(db.app, name="db")
app.command()(demo.demo)
app.add_typer(emulator.app, name="emulator")
