"""Command `raysync start`."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import typer

from raysync.cli import options
from raysync.cli.error_handling import EXIT_FAILED, EXIT_INTERRUPTED
from raysync.cli.output.console import print_json
from raysync.cli.output.streams import is_unicode, keep_exit_code

if TYPE_CHECKING:
    from raysync.cli.progress.live import LiveObserver
    from raysync.cli.progress.log_lines import LogObserver
    from raysync.cli.progress.plain import PlainObserver
    from raysync.models.results import RunResult
    from raysync.run.requests import SyncRequest

EXIT_PARTIAL = 3


def start(
    tenant: options.Tenants = None,
    full: options.Full = False,
    incremental: options.Incremental = False,
    since: options.Since = None,
    until: options.Until = None,
    channel: options.Channels = None,
    lookback: options.Lookback = None,
    reconcile_requests: options.ReconcileRequests = 0,
    archives_every: options.ArchivesEvery = None,
    reactors: options.WithReactors = False,
    attachments: options.Attachments = None,
    attachment_max_size: options.AttachmentMaxSize = None,
    attachment_type: options.AttachmentTypes = None,
    workers: options.Workers = None,
    as_json: options.ResultAsJson = False,
) -> None:
    """Sync tenants (Discord servers) now, in the foreground.

    Ctrl-C ends the run cleanly; a second Ctrl-C ends it at once. Nothing that was stored is lost.

    Exit codes: 0 all completed, 3 partial (some channels failed, or a list could not be read),
    1 failed, 2 usage or configuration, 130 interrupted.
    """
    _refuse_if(
        full and incremental, "--full and --incremental exclude each other. Give one of them."
    )
    _refuse_if(
        full and lookback is not None,
        "--lookback does not go with --full, which reads everything again. Leave one out.",
    )
    _refuse_if(
        bool(reconcile_requests and (full or since or until or channel)),
        "--reconcile-requests does not go with --full, --since, --until or --channel. Leave it "
        "out, or leave those out.",
    )
    _refuse_if(
        archives_every is not None and bool(full or since or until or channel),
        "--archives-every does not go with --full, --since, --until or --channel, which compare "
        "all lists of archived threads. Leave it out, or leave those out.",
    )
    _refuse_if(
        attachments is None and bool(attachment_max_size is not None or attachment_type),
        "--attachment-max-size and --attachment-type need --attachments DIR-or-URL. Give it, "
        "or leave them out.",
    )
    _refuse_if(bool(since and until and since >= until), "--since must be before --until.")
    from raysync.models.extras import Extras, FileRules
    from raysync.models.ids import ChannelId
    from raysync.models.status import SyncType
    from raysync.run.requests import SyncRequest

    files = None
    if attachments is not None:
        files = FileRules(attachments, attachment_max_size, tuple(attachment_type or ()))
    request = SyncRequest(
        tenants=tuple(tenant or ()),
        sync_type=SyncType.FULL if full else SyncType.INCREMENTAL if incremental else None,
        since=since,
        until=until,
        channels=frozenset(ChannelId(channel_id) for channel_id in channel or ()),
        lookback_s=None if lookback is None else lookback.total_seconds(),
        reconcile_requests=reconcile_requests,
        archives_every_s=None if archives_every is None else archives_every.total_seconds(),
        extras=Extras(reactors, files),
        workers=workers,
    )
    result = run(request)
    show(result, as_json=as_json, request=request)
    raise typer.Exit(exit_code(result))


def _refuse_if(is_wrong: bool, why: str) -> None:
    if is_wrong:
        raise typer.BadParameter(why)


def run(request: SyncRequest) -> RunResult:
    """Run *request* with the settings of the environment, and print progress on stderr."""
    keep_exit_code()
    from raysync.cli.runs.next_command import StartedJobs, suggest_resume_commands
    from raysync.errors import ConfigurationError
    from raysync.models.status import SyncType
    from raysync.run.driver import sync
    from raysync.settings import read_settings

    settings = read_settings()
    with observer(is_json=settings.log_format == "json") as progress:
        started = StartedJobs(progress)
        try:
            return sync(request, settings, started)
        except ConfigurationError:  # resuming cannot help before the user has fixed it
            raise
        except (KeyboardInterrupt, Exception):
            if request.sync_type is not SyncType.VERIFY:
                suggest_resume_commands(started.jobs, request.workers)
            raise


def observer(*, is_json: bool = False) -> LiveObserver | PlainObserver | LogObserver:
    """Return the live view on a terminal, else plain lines; log records where logs are JSON."""
    from raysync.cli.output.console import err

    if is_json:
        from raysync.cli.progress.log_lines import LogObserver

        return LogObserver(time.monotonic)
    is_dumb = os.environ.get("TERM", "dumb") == "dumb" or not is_unicode(sys.stderr)
    if sys.stderr.isatty() and not is_dumb:
        from raysync.cli.progress.live import LiveObserver

        return LiveObserver(err())
    from raysync.cli.progress.plain import PlainObserver

    return PlainObserver(err(), time.monotonic)


def show(result: RunResult, *, as_json: bool, request: SyncRequest | None = None) -> None:
    """Print the result on stdout, and on stderr the commands that continue runs ended early."""
    from raysync.cli.output.console import out
    from raysync.cli.runs.next_command import suggest_next_commands

    if as_json:
        print_json(result.model_dump_json(indent=2))
    else:
        from raysync.cli.progress.summary import print_result

        print_result(out(), result)
    suggest_next_commands(result.jobs, request)


def exit_code(result: RunResult) -> int:
    """Return the exit code for the run's jobs: that of the worst status."""
    statuses = {job.status for job in result.jobs}
    if "cancelled" in statuses:
        return EXIT_INTERRUPTED
    if "failed" in statuses:
        return EXIT_FAILED
    return EXIT_PARTIAL if "partial" in statuses else 0
