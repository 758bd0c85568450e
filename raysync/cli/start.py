"""`raysync start`."""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import params
from raysync.cli.boundary import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from raysync.actors.requests import SyncRequest
    from raysync.cli.live import LiveObserver
    from raysync.cli.plain import PlainObserver
    from raysync.models.results import RunResult

EXIT_PARTIAL = 3


def start(
    tenant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLUG", help="Sync this tenant; may be repeated. [default: every active one]"
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything again, stored or not.")
    ] = False,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Read what is new or missing. [default]")
    ] = False,
    since: Annotated[
        datetime | None,
        typer.Option(parser=params.moment, metavar="ISO", help="Only messages from then on (UTC)."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=params.moment, metavar="ISO", help="Only messages before then (UTC)."),
    ] = None,
    channel: Annotated[
        list[int] | None,
        typer.Option(
            parser=params.snowflake, metavar="ID", help="Only this channel; may be repeated."
        ),
    ] = None,
    lookback: Annotated[
        timedelta | None,
        typer.Option(
            parser=params.duration,
            metavar="DURATION",
            help="How far back to look again for edits, as in 7d, 12h or 0. [default: 7d]",
        ),
    ] = None,
    reconcile_requests: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Spend N requests of each tenant's run on old messages, those checked longest "
            "ago first. [default: 0]",
            show_default=False,
        ),
    ] = 0,
    reactors: Annotated[
        bool,
        typer.Option(
            "--reactors",
            help="Read who reacted, too, where counts have changed: a request or more for each "
            "emoji of a message.",
        ),
    ] = False,
    attachments: Annotated[
        str | None,
        typer.Option(
            parser=params.place,
            metavar="DIR-or-URL",
            help="Keep attachments' bytes there: a folder, or what fsspec knows, as in "
            "s3://bucket/path.",
        ),
    ] = None,
    attachment_max_size: Annotated[
        int | None,
        typer.Option(
            parser=params.size, metavar="SIZE", help="No larger attachments than, say, 25MB."
        ),
    ] = None,
    attachment_type: Annotated[
        list[str] | None,
        typer.Option(
            parser=params.media_type,
            metavar="TYPE",
            help="Only attachments of this type, as in image/*; may be repeated.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            metavar="N",
            help="Worker processes, at most. [default: SYNC_MAX_CHANNEL_WORKERS, or 10]",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Sync now, in the foreground.

    Ctrl-C ends it cleanly; a second one ends it at once. Nothing that was stored is lost.

    Exit codes: 0 all completed, 3 some channels failed, 1 failed, 2 usage or configuration,
    130 interrupted.
    """
    if full and incremental:
        raise typer.BadParameter("--full and --incremental exclude each other.")
    if reconcile_requests and (full or since or until or channel):
        raise typer.BadParameter(
            "--reconcile-requests goes with a plain run: not with --full, --since, --until or "
            "--channel."
        )
    if attachments is None and (attachment_max_size is not None or attachment_type):
        raise typer.BadParameter(
            "--attachment-max-size and --attachment-type go with --attachments DIR-or-URL."
        )
    if since is not None and until is not None and since >= until:
        raise typer.BadParameter("--since must be before --until.", param_hint="--since")
    from raysync.actors.requests import DEFAULT_LOOKBACK_S, SyncRequest
    from raysync.models.extras import Extras, FileRules
    from raysync.models.ids import ChannelId
    from raysync.models.status import SyncType

    files = None
    if attachments is not None:
        files = FileRules(attachments, attachment_max_size, tuple(attachment_type or ()))
    request = SyncRequest(
        tenants=tuple(tenant or ()),
        sync_type=SyncType.FULL if full else SyncType.INCREMENTAL if incremental else None,
        since=since,
        until=until,
        channels=frozenset(ChannelId(each) for each in channel or ()),
        lookback_s=DEFAULT_LOOKBACK_S if lookback is None else lookback.total_seconds(),
        reconcile_requests=reconcile_requests,
        extras=Extras(reactors, files),
        workers=workers,
    )
    result = run(request)
    show(result, as_json=as_json)
    raise typer.Exit(exit_code(result))


def run(request: SyncRequest) -> RunResult:
    """Sync as the environment says, with progress on stderr."""
    from raysync.driver import sync
    from raysync.settings import read_settings

    with observer() as watching:
        return sync(request, read_settings(), watching)


def observer() -> LiveObserver | PlainObserver:
    """The live view on a terminal, else lines."""
    from raysync.cli.console import err

    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from raysync.cli.live import LiveObserver

        return LiveObserver(err())
    from raysync.cli.plain import PlainObserver

    return PlainObserver(err(), time.monotonic)


def show(result: RunResult, *, as_json: bool) -> None:
    """Print the result on stdout."""
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
        return
    from raysync.cli.console import out, say
    from raysync.cli.hints import invocation
    from raysync.cli.summary import print_result

    print_result(out(), result)
    for job in result.jobs:
        if job.status in ("cancelled", "failed"):
            command = f"{invocation()} start --tenant {job.tenant}"
            say(f"What was stored of {job.tenant} stays; go on from there: {command}")


def exit_code(result: RunResult) -> int:
    """What the statuses of the run's jobs mean to a script; the worst counts."""
    statuses = {job.status for job in result.jobs}
    if "cancelled" in statuses:
        return EXIT_INTERRUPTED
    if "failed" in statuses:
        return EXIT_FAILED
    return EXIT_PARTIAL if "partial" in statuses else 0
