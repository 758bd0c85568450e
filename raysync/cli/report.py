"""Command `raysync report`: how a job went."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import params
from raysync.cli.job_liveness import load_settled
from raysync.cli.output import words
from raysync.cli.output.console import out, print_json, raw_stdout, say
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.output.invocation import as_invoked
from raysync.cli.output.private_file import private_file, target
from raysync.errors import ConfigurationError, RaysyncError

if TYPE_CHECKING:
    from raysync.models.history import JobHistory

STDOUT = "-"


class ReportError(RaysyncError):
    """The report cannot be written to its file."""


def report(
    job_id: Annotated[
        str | None,
        typer.Option(
            parser=params.job_id, metavar="ID", help="Report this job. [default: the latest]"
        ),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            metavar="SLUG",
            help="Report this tenant's latest job. [default: the latest job of any tenant]",
        ),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write the whole report as an HTML page, to stdout for -. [default: print text]",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the main figures as JSON.")
    ] = False,
) -> None:
    """Report how a job went, as text, JSON or an HTML page.

    The report compares the job's time with what Discord's limits allow, and says what took the
    rest. The page is one file that loads nothing and runs no script. It shows which worker read
    which channel when, messages and requests over time, waits, errors and what to do about them.
    """
    if job_id is not None and tenant is not None:
        raise typer.BadParameter("--job-id and --tenant exclude each other. Give one of them.")
    if html is not None and as_json:
        raise typer.BadParameter("--html and --json exclude each other. Give one of them.")
    history = asyncio.run(_history(job_id, tenant))
    now = datetime.now(UTC)
    if html is not None:
        _write_page(history, now, html)
    elif as_json:
        _print_json(history, now)
    else:
        _print_text(history, now)


async def _history(job_id: str | None, tenant: str | None) -> JobHistory:
    from raysync.database import LOOK_TIMEOUT_S, open_store
    from raysync.models.ids import JobId
    from raysync.settings import read_settings
    from raysync.store.jobs.history import job_history
    from raysync.store.jobs.lifecycle import JobStore
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings(), timeout_s=LOOK_TIMEOUT_S) as engine:
        jobs = JobStore(engine)
        if job_id is not None:
            return await job_history(engine, JobId(job_id))
        tenant_id = (await TenantStore(engine).get(tenant)).id if tenant is not None else None
        latest = await load_settled(lambda: jobs.recent(tenant_id, limit=1))
        if not latest:
            option = f" --tenant {tenant}" if tenant else ""
            raise ConfigurationError(
                f"There is no sync job yet. Start one, after adding a tenant: raysync start{option}"
            )
        return await job_history(engine, latest[0].id)


def _print_text(history: JobHistory, now: datetime) -> None:
    from raysync.cli.job_report.figures import figures_of
    from raysync.cli.job_report.lead import bound_in_words, lead
    from raysync.cli.progress.summary import not_covered

    record, figures = history.record, figures_of(history, now)
    why = f": {as_invoked(words.printable(record.error)).rstrip('.')}" if record.error else ""
    out().print(f"{record.tenant}: job {record.id} {figures.status}{why}. {lead(figures)}")
    if figures.efficiency is not None and not figures.is_verification:
        out().print(bound_in_words(figures.efficiency))
    for missing in not_covered(record.result) if record.result else ():
        out().print(f"Not covered: {missing}")
    suggest(
        "Write the whole report as a page:",
        command_line("report", "--job-id", record.id, "--html", "report.html"),
    )


def _print_json(history: JobHistory, now: datetime) -> None:
    from raysync.cli.job_report.figures import figures_of
    from raysync.cli.job_report.lead import as_json

    print_json(json.dumps(as_json(history, figures_of(history, now)), indent=2))


def _write_page(history: JobHistory, now: datetime, output: str) -> None:
    from raysync.cli.job_report.page import page

    text = page(history, now)
    if output == STDOUT:
        raw_stdout().write(text.encode())
        return
    path = target(output)
    with private_file(path, ReportError) as file:
        file.write(text.encode())
    say(f"Report written to {path}.")
