"""`raysync report`: one job after the fact."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import params
from raysync.cli.job_liveness import load_settled
from raysync.cli.output import words
from raysync.cli.output.console import out, raw_stdout, say, tell_json
from raysync.cli.output.hints import invocation
from raysync.cli.output.private_file import private_file, target
from raysync.errors import ConfigurationError, RaysyncError

if TYPE_CHECKING:
    from raysync.models.history import JobHistory

STDOUT = "-"


class ReportError(RaysyncError):
    """The report cannot be written."""


def report(
    job_id: Annotated[
        str | None,
        typer.Option(parser=params.job_id, metavar="ID", help="This job. [default: the latest]"),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="SLUG", help="This tenant's latest job.")
    ] = None,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="Write a page with all of it; - is stdout."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the main figures as JSON.")
    ] = False,
) -> None:
    """Tell how a job went: how long, against which of Discord's limits, and what cost the rest.

    The page is one file that loads nothing and runs no script: who read which channel when,
    messages and requests over time, waits, errors and what to do about them.
    """
    if job_id is not None and tenant is not None:
        raise typer.BadParameter("--job-id and --tenant exclude each other.")
    if html is not None and as_json:
        raise typer.BadParameter("--html and --json exclude each other.")
    history = asyncio.run(_history(job_id, tenant))
    now = datetime.now(UTC)
    if html is not None:
        _write_page(history, now, html)
    elif as_json:
        _print_json(history, now)
    else:
        _print_sentence(history, now)


async def _history(job_id: str | None, tenant: str | None) -> JobHistory:
    from raysync.database import open_store
    from raysync.models.ids import JobId
    from raysync.settings import read_settings
    from raysync.store.jobs.history import job_history
    from raysync.store.jobs.store import JobStore
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        jobs = JobStore(engine)
        if job_id is not None:
            return await job_history(engine, JobId(job_id))
        of = (await TenantStore(engine).get(tenant)).id if tenant is not None else None
        latest = await load_settled(lambda: jobs.recent(of, limit=1))
        if not latest:
            which = f" --tenant {tenant}" if tenant else ""
            raise ConfigurationError(
                f"There is no sync job yet. Begin one, of a tenant that was added: "
                f"{invocation()} start{which}"
            )
        return await job_history(engine, latest[0].id)


def _print_sentence(history: JobHistory, now: datetime) -> None:
    from raysync.cli.job_report.figures import figures_of
    from raysync.cli.job_report.lead import bound_in_words, lead
    from raysync.cli.progress.summary import not_covered

    record, figures = history.record, figures_of(history, now)
    why = f": {words.printable(record.error).rstrip('.')}" if record.error else ""
    out().print(f"{record.tenant}: job {record.id} {figures.status}{why}. {lead(figures)}")
    if figures.efficiency is not None:
        out().print(bound_in_words(figures.efficiency))
    for each in not_covered(record.result) if record.result else ():
        out().print(f"Not covered: {each}")
    say(f"The whole of it: {invocation()} report --job-id {record.id} --html report.html")


def _print_json(history: JobHistory, now: datetime) -> None:
    from raysync.cli.job_report.figures import figures_of
    from raysync.cli.job_report.lead import as_json

    tell_json(json.dumps(as_json(history, figures_of(history, now)), indent=2))


def _write_page(history: JobHistory, now: datetime, output: str) -> None:
    from raysync.cli.job_report.page import page

    text = page(history, now)
    if output == STDOUT:
        raw_stdout().write(text.encode())
        return
    path = target(output)
    with private_file(path, ReportError) as file:
        file.write(text.encode())
    say(f"The report is in {path}.")
