"""`raysync status`."""

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
from raysync.cli.output.console import out, say, tell_json
from raysync.cli.output.hints import invocation
from raysync.cli.output.streams import is_unicode

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from raysync.models.records import JobRecord
    from raysync.store.connection.engine import Engine as AsyncEngine

SHOWN_CHANNELS = 20
SHOWN_MESSAGES = 20
WATCH_PERIOD_S = 1.0
_LINES_BESIDE_CHANNELS = 10
_WAITING = "No job is running: waiting for one to begin. Ctrl-C ends this."


def status(
    job_id: Annotated[
        str | None,
        typer.Option(parser=params.job_id, metavar="ID", help="This job. [default: the latest]"),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="SLUG", help="This tenant's latest job. [default: all]")
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Follow it to its end; without --job-id wait for one to begin."
        ),
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Show all channels.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all channels.")] = False,
) -> None:
    """Show where a sync stands, or how it ended, channel by channel."""
    if job_id is not None and tenant is not None:
        raise typer.BadParameter("--job-id and --tenant exclude each other.")
    if watch and as_json:
        raise typer.BadParameter("--watch and --json exclude each other.")
    if watch:
        asyncio.run(_watch(job_id, tenant))
        return
    records = asyncio.run(_once(job_id, tenant))
    if as_json:
        from raysync.cli.progress.status_view import job_as_json

        tell_json(json.dumps({"jobs": [job_as_json(each) for each in records]}, indent=2))
    elif not records:
        _say_no_job(tenant)
    else:
        out().print(_rendered(records, None if every else SHOWN_CHANNELS))


def _say_no_job(tenant: str | None) -> None:
    which = f" --tenant {tenant}" if tenant else ""
    say(
        f"There is no sync job yet. Begin one, of a tenant that was added: "
        f"{invocation()} start{which}"
    )


def _rendered(records: Sequence[JobRecord], rows: int | None) -> RenderableType:
    from raysync.cli.progress.status_view import render_job, render_overview

    now = datetime.now(UTC)
    if len(records) == 1:
        return render_job(records[0], now, rows)
    return render_overview(records, now)


async def _once(job_id: str | None, tenant: str | None) -> Sequence[JobRecord]:
    from raysync.database import open_store
    from raysync.settings import read_settings

    async with open_store(read_settings(), keeps_running=False) as engine:
        return await _look(engine, job_id, tenant)


async def _look(engine: AsyncEngine, job_id: str | None, tenant: str | None) -> Sequence[JobRecord]:
    found = await load_settled(lambda: _load(engine, job_id, tenant))
    return [await _with_comparison(engine, each) for each in found]


async def _load(engine: AsyncEngine, job_id: str | None, tenant: str | None) -> Sequence[JobRecord]:
    from raysync.models.ids import JobId
    from raysync.store.jobs.store import JobStore
    from raysync.store.tenants import TenantStore

    jobs, tenants = JobStore(engine), TenantStore(engine)
    if job_id is not None:
        return [await jobs.load(JobId(job_id))]
    chosen = [await tenants.get(tenant)] if tenant else await tenants.list()
    latest = [await jobs.latest(each.id) for each in chosen]
    return [each for each in latest if each is not None]


async def _with_comparison(engine: AsyncEngine, record: JobRecord) -> JobRecord:
    """The job with what could not be read of its tenant's messages, as they are now.

    Once it has ended, also with since when all of them were compared.
    """
    from raysync.models.status import JobStatus
    from raysync.store.archive.quarantine import quarantine_of
    from raysync.store.archive.rechecks import rechecked_since

    quarantine = await quarantine_of(engine, record.tenant_id, SHOWN_MESSAGES)
    record = replace(record, quarantine=quarantine)
    if record.status is JobStatus.RUNNING:
        return record
    since, _ = await rechecked_since(engine, record.tenant_id)
    return replace(record, compared_since=since)


class _Watch:
    """Which jobs a watch is about: the one that was named, or those that run or begin meanwhile."""

    def __init__(self, job_id: str | None) -> None:
        self._followed: set[str] = set() if job_id is None else {job_id}
        self._before: set[str] | None = None

    def goes_on(self, records: Sequence[JobRecord]) -> bool:
        """Take in the jobs as they are now. Return whether there is more to come."""
        if self._before is None:
            self._before = {each.id for each in records}
        running = [each for each in records if _runs(each)]
        began = {each.id for each in records} - self._before  # and may have ended since
        self._followed |= {each.id for each in running} | began
        return bool(running) or self.waits

    @property
    def waits(self) -> bool:
        """Whether it waits for a job to begin."""
        return not self._followed


async def _watch(job_id: str | None, tenant: str | None) -> None:
    console = out()
    if console.is_terminal and not console.is_dumb_terminal and is_unicode(sys.stdout):
        await _watch_terminal(console, job_id, tenant)
    else:
        await _watch_lines(console, job_id, tenant)


async def _follow(
    job_id: str | None, tenant: str | None, see: Callable[[Sequence[JobRecord]], bool]
) -> None:
    """Hand the jobs to *see*, again and again while it says so. Wait for a database that is away.

    Raises:
        DatabaseFullError: the embedded server cannot run, since its disk is full.
    """
    from raysync.database import embedded_server, open_store
    from raysync.errors import ConfigurationError, StoreUnavailableError
    from raysync.settings import read_settings

    settings, is_told = read_settings(), False
    async with open_store(settings, keeps_running=False) as engine:
        server = embedded_server(settings)
        while True:
            try:
                found = await _look(engine, job_id, tenant)
            except StoreUnavailableError as error:
                reason = str(error)
                if server is not None:
                    with suppress(ConfigurationError):
                        reason = (await server.revive()).reason or reason
                if not is_told:
                    say(f"PostgreSQL does not answer ({reason.rstrip('.')}); waiting for it.")
                is_told = True
            else:
                if is_told and server is not None:
                    server.answered()
                is_told = False
                if not see(found):
                    return
            await asyncio.sleep(WATCH_PERIOD_S)


async def _watch_terminal(console: Console, job_id: str | None, tenant: str | None) -> None:
    from rich.console import Group
    from rich.live import Live

    watch = _Watch(job_id)
    with Live(console=console, auto_refresh=False) as live:

        def see(records: Sequence[JobRecord]) -> bool:
            goes_on = watch.goes_on(records)
            rows = max(console.height - _LINES_BESIDE_CHANNELS, 1)
            shown = [_rendered(records, rows)] if records else []
            live.update(Group(*shown, *([_WAITING] if watch.waits else [])), refresh=True)
            return goes_on

        await _follow(job_id, tenant, see)


async def _watch_lines(console: Console, job_id: str | None, tenant: str | None) -> None:
    from raysync.cli.progress.plain import PlainObserver

    lines, watch, is_told = PlainObserver(console, time.monotonic), _Watch(job_id), False

    def see(records: Sequence[JobRecord]) -> bool:
        nonlocal is_told
        goes_on = watch.goes_on(records)
        running = [each.view for each in records if _runs(each)]
        lines.progress([each for each in running if each is not None])
        if watch.waits and not is_told:
            is_told = True
            say(_WAITING)
        if not goes_on:
            console.print(_rendered(records, SHOWN_CHANNELS))
        return goes_on

    await _follow(job_id, tenant, see)


def _runs(record: JobRecord) -> bool:
    from raysync.cli.progress.status_view import seems_dead
    from raysync.models.status import JobStatus

    return record.status is JobStatus.RUNNING and not seems_dead(record)
