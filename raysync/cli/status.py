"""Command `raysync status`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import params
from raysync.cli.job_liveness import load_settled
from raysync.cli.output.console import out, print_json, say
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.output.streams import is_unicode

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from raysync.models.records import JobRecord
    from raysync.store.connection.engine import Engine as AsyncEngine

SHOWN_CHANNELS = 20
SHOWN_MESSAGES = 20
WATCH_PERIOD_S = 1.0
_LINES_BESIDE_CHANNELS = 10
_WAITING = "No job is running. Waiting for one to start; Ctrl-C ends the wait."


def status(
    job_id: Annotated[
        str | None,
        typer.Option(
            parser=params.job_id, metavar="ID", help="Show this job. [default: the latest]"
        ),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            metavar="SLUG", help="Show this tenant's latest job. [default: that of every tenant]"
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Follow the job to its end. Without --job-id, wait for a job to start.",
        ),
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Show all channels. [default: the first 20]")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all channels.")] = False,
) -> None:
    """Show the progress of a sync, or its result, by channel."""
    if job_id is not None and tenant is not None:
        raise typer.BadParameter("--job-id and --tenant exclude each other. Give one of them.")
    if watch and as_json:
        raise typer.BadParameter("--watch and --json exclude each other. Give one of them.")
    if watch:
        asyncio.run(_watch(job_id, tenant))
        return
    records = asyncio.run(_load_once(job_id, tenant))
    if as_json:
        from raysync.cli.progress.status_view import job_as_json

        print_json(json.dumps({"jobs": [job_as_json(record) for record in records]}, indent=2))
    elif not records:
        options_ = ["--tenant", tenant] if tenant else []
        suggest(
            "There is no sync job yet. Start one, after adding a tenant:",
            command_line("start", *options_),
        )
    else:
        _print(out(), records, None if every else SHOWN_CHANNELS)


def _print(console: Console, records: Sequence[JobRecord], rows: int | None) -> None:
    console.print(_rendered(records, rows), crop=False)  # a command that is cut is no use


def _rendered(records: Sequence[JobRecord], rows: int | None) -> RenderableType:
    from raysync.cli.progress.status_view import render_job, render_overview

    now = datetime.now(UTC)
    if len(records) == 1:
        return render_job(records[0], now, rows)
    return render_overview(records, now)


async def _load_once(job_id: str | None, tenant: str | None) -> Sequence[JobRecord]:
    from raysync.database import LOOK_TIMEOUT_S, open_store
    from raysync.settings import read_settings

    looking = open_store(read_settings(), keeps_running=False, timeout_s=LOOK_TIMEOUT_S)
    async with looking as engine:
        return await _load_settled(engine, job_id, tenant)


async def _load_settled(
    engine: AsyncEngine, job_id: str | None, tenant: str | None
) -> Sequence[JobRecord]:
    records = await load_settled(lambda: _load(engine, job_id, tenant))
    return [await _with_comparison(engine, record) for record in records]


async def _load(engine: AsyncEngine, job_id: str | None, tenant: str | None) -> Sequence[JobRecord]:
    from raysync.models.ids import JobId
    from raysync.store.jobs.lifecycle import JobStore
    from raysync.store.tenants import TenantStore

    jobs, tenants = JobStore(engine), TenantStore(engine)
    if job_id is not None:
        return [await jobs.load(JobId(job_id))]
    chosen = [await tenants.get(tenant)] if tenant else await tenants.list()
    latest = [await jobs.latest(chosen_tenant.id) for chosen_tenant in chosen]
    return [record for record in latest if record is not None]


async def _with_comparison(engine: AsyncEngine, record: JobRecord) -> JobRecord:
    """Return the job with its tenant's quarantine as it is now.

    A job that has ended also gets the time since which every stored message was compared.
    """
    from raysync.models.status import JobStatus
    from raysync.store.archive.quarantine import COUNTED_UP_TO, quarantine_of
    from raysync.store.archive.rechecks import rechecked_since
    from raysync.store.live.listening import ListeningStore

    quarantine = await quarantine_of(
        engine, record.tenant_id, SHOWN_MESSAGES, counted_up_to=COUNTED_UP_TO
    )
    tail = await ListeningStore(engine).state(record.tenant_id)
    record = replace(record, quarantine=quarantine, tail=tail)
    if record.status is JobStatus.RUNNING:
        return record
    since, _ = await rechecked_since(engine, record.tenant_id)
    return replace(record, compared_since=since)


class _Watch:
    """Set of watched jobs: the job that was named, or those that run or start meanwhile."""

    def __init__(self, job_id: str | None) -> None:
        self._followed: set[str] = set() if job_id is None else {job_id}
        self._before: set[str] | None = None

    def update(self, records: Sequence[JobRecord]) -> bool:
        """Record the jobs as they are now. Return whether the watch goes on."""
        if self._before is None:
            self._before = {record.id for record in records}
        running = [record for record in records if _is_running(record)]
        started = {record.id for record in records} - self._before  # may have ended already
        self._followed |= {record.id for record in running} | started
        return bool(running) or self.is_waiting

    @property
    def is_waiting(self) -> bool:
        """True while no watched job has started."""
        return not self._followed


async def _watch(job_id: str | None, tenant: str | None) -> None:
    console = out()
    if console.is_terminal and not console.is_dumb_terminal and is_unicode(sys.stdout):
        await _watch_terminal(console, job_id, tenant)
    else:
        await _watch_lines(console, job_id, tenant)


async def _follow(
    job_id: str | None, tenant: str | None, show: Callable[[Sequence[JobRecord]], bool]
) -> None:
    """Pass the jobs to *show* once a second while it returns True. Wait during an outage.

    Raises:
        DatabaseFullError: the embedded server cannot run, because its disk is full.
    """
    from raysync.database import LOOK_TIMEOUT_S, embedded_server, open_store
    from raysync.errors import ConfigurationError, StoreUnavailableError
    from raysync.settings import read_settings

    settings, is_reported = read_settings(), False
    looking = open_store(settings, keeps_running=False, timeout_s=LOOK_TIMEOUT_S)
    async with looking as engine:
        server = embedded_server(settings)
        while True:
            try:
                records = await _load_settled(engine, job_id, tenant)
            except StoreUnavailableError as error:
                reason = str(error)
                if server is not None:
                    with suppress(ConfigurationError):
                        reason = (await server.revive()).reason or reason
                if not is_reported:
                    say(f"PostgreSQL does not answer ({reason.rstrip('.')}). Waiting for it.")
                is_reported = True
            else:
                if is_reported and server is not None:
                    server.answered()
                is_reported = False
                if not show(records):
                    return
            await asyncio.sleep(WATCH_PERIOD_S)


async def _watch_terminal(console: Console, job_id: str | None, tenant: str | None) -> None:
    from rich.console import Group
    from rich.live import Live

    watch, ended = _Watch(job_id), list[JobRecord]()
    with Live(console=console, auto_refresh=False) as live:

        def show(records: Sequence[JobRecord]) -> bool:
            is_going_on = watch.update(records)
            shown = [_rendered(records, _rows(console))] if records else []
            if not is_going_on:  # print the end below, uncropped, instead of the last frame
                live.transient = True
                ended.extend(records)
            live.update(Group(*shown, *([_WAITING] if watch.is_waiting else [])), refresh=True)
            return is_going_on

        await _follow(job_id, tenant, show)
    if ended:
        _print(console, ended, _rows(console))


def _rows(console: Console) -> int:
    return max(console.height - _LINES_BESIDE_CHANNELS, 1)


async def _watch_lines(console: Console, job_id: str | None, tenant: str | None) -> None:
    from raysync.cli.progress.plain import PlainObserver

    lines, watch, is_reported = PlainObserver(console, time.monotonic), _Watch(job_id), False

    def show(records: Sequence[JobRecord]) -> bool:
        nonlocal is_reported
        is_going_on = watch.update(records)
        views = [record.view for record in records if _is_running(record)]
        lines.progress([view for view in views if view is not None])
        if watch.is_waiting and not is_reported:
            is_reported = True
            say(_WAITING)
        if not is_going_on:
            _print(console, records, SHOWN_CHANNELS)
        return is_going_on

    await _follow(job_id, tenant, show)


def _is_running(record: JobRecord) -> bool:
    from raysync.cli.progress.status_view import seems_dead
    from raysync.models.status import JobStatus

    return record.status is JobStatus.RUNNING and not seems_dead(record)
