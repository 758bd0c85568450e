"""`raysync status`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import params
from raysync.cli.console import out, say, tell_json
from raysync.cli.hints import invocation
from raysync.cli.streams import is_unicode

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from raysync.models.records import JobRecord
    from raysync.store.engine import Engine as AsyncEngine

SHOWN_CHANNELS = 20
SHOWN_MESSAGES = 20
WATCH_PERIOD_S = 1.0
_LINES_BESIDE_CHANNELS = 10


def status(
    job_id: Annotated[
        str | None,
        typer.Option(parser=params.job_id, metavar="ID", help="This job. [default: the latest]"),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="SLUG", help="This tenant's latest job. [default: all]")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it ends.")] = False,
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
        from raysync.cli.status_view import job_as_json

        tell_json(json.dumps({"jobs": [job_as_json(each) for each in records]}, indent=2))
    elif not records:
        _say_no_job(tenant)
    else:
        out().print(_rendered(records, None if every else SHOWN_CHANNELS))


def _say_no_job(tenant: str | None) -> None:
    which = f" --tenant {tenant}" if tenant else ""
    say(f"There is no sync job yet. Begin one: {invocation()} start{which}")


def _rendered(records: Sequence[JobRecord], rows: int | None) -> RenderableType:
    from raysync.cli.status_view import render_job, render_overview

    now = datetime.now(UTC)
    if len(records) == 1:
        return render_job(records[0], now, rows)
    return render_overview(records, now)


async def _once(job_id: str | None, tenant: str | None) -> Sequence[JobRecord]:
    found: Sequence[JobRecord] = ()

    def keep(records: Sequence[JobRecord]) -> bool:
        nonlocal found
        found = records
        return False

    await _follow(job_id, tenant, keep)
    return found


async def _follow(
    job_id: str | None, tenant: str | None, see: Callable[[Sequence[JobRecord]], bool]
) -> None:
    """Hand the jobs to *see*, again and again while it says so."""
    from raysync.database import open_store
    from raysync.models.ids import JobId
    from raysync.settings import read_settings
    from raysync.store.jobs import JobStore
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        jobs, tenants = JobStore(engine), TenantStore(engine)
        while True:
            if job_id is not None:
                found = [await jobs.load(JobId(job_id))]
            else:
                chosen = [await tenants.get(tenant)] if tenant else await tenants.list()
                latest = [await jobs.latest(each.id) for each in chosen]
                found = [each for each in latest if each is not None]
            if not see([await _with_comparison(engine, each) for each in found]):
                return
            await asyncio.sleep(WATCH_PERIOD_S)


async def _with_comparison(engine: AsyncEngine, record: JobRecord) -> JobRecord:
    """The job with what could not be read of its tenant's messages, as they are now.

    Once it has ended, also with since when all of them were compared.
    """
    from raysync.models.status import JobStatus
    from raysync.store.quarantine import quarantine_of
    from raysync.store.rechecks import rechecked_since

    quarantine = await quarantine_of(engine, record.tenant_id, SHOWN_MESSAGES)
    record = replace(record, quarantine=quarantine)
    if record.status is JobStatus.RUNNING:
        return record
    since, _ = await rechecked_since(engine, record.tenant_id)
    return replace(record, compared_since=since)


async def _watch(job_id: str | None, tenant: str | None) -> None:
    console = out()
    if console.is_terminal and not console.is_dumb_terminal and is_unicode(sys.stdout):
        await _watch_terminal(console, job_id, tenant)
    else:
        await _watch_lines(console, job_id, tenant)


async def _watch_terminal(console: Console, job_id: str | None, tenant: str | None) -> None:
    from rich.live import Live

    with Live(console=console, auto_refresh=False) as live:

        def see(records: Sequence[JobRecord]) -> bool:
            if not records:
                _say_no_job(tenant)
                return False
            rows = max(console.height - _LINES_BESIDE_CHANNELS, 1)
            live.update(_rendered(records, rows), refresh=True)
            return _goes_on(records)

        await _follow(job_id, tenant, see)


async def _watch_lines(console: Console, job_id: str | None, tenant: str | None) -> None:
    import time

    from raysync.cli.plain import PlainObserver

    lines = PlainObserver(console, time.monotonic)

    def see(records: Sequence[JobRecord]) -> bool:
        lines.progress([each.view for each in records if each.view is not None])
        if _goes_on(records):
            return True
        if records:
            console.print(_rendered(records, SHOWN_CHANNELS))
        else:
            _say_no_job(tenant)
        return False

    await _follow(job_id, tenant, see)


def _goes_on(records: Sequence[JobRecord]) -> bool:
    from raysync.cli.status_view import seems_dead
    from raysync.models.status import JobStatus

    return any(each.status is JobStatus.RUNNING and not seems_dead(each) for each in records)
