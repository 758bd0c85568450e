"""`raysync resume` and `raysync cancel`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import options, params
from raysync.cli.error_handling import EXIT_FAILED
from raysync.cli.output.console import say
from raysync.cli.runs.next_command import resume_command
from raysync.cli.runs.start import exit_code, run, show
from raysync.operators import operator_name

if TYPE_CHECKING:
    from raysync.models.records import JobRecord

PATIENCE_S = 60.0
LOOK_EVERY_S = 0.2

_JobId = Annotated[
    str, typer.Option("--job-id", parser=params.job_id, metavar="ID", help="Which job.")
]


def resume(
    job_id: _JobId,
    workers: options.Workers = None,
    as_json: options.ResultAsJson = False,
) -> None:
    """Go on with a job, in the foreground: cancelled, failed, partial, or its driver killed.

    Partial is a job of which some channels failed: those are tried again. It is about what it was
    begun with, and nothing that it has stored is read again.

    Exit codes: as of `raysync start`.
    """
    from raysync.models.ids import JobId
    from raysync.run.requests import SyncRequest

    request = SyncRequest(resume=JobId(job_id), workers=workers)
    result = run(request)
    show(result, as_json=as_json, request=request)
    raise typer.Exit(exit_code(result))


def cancel(job_id: _JobId) -> None:
    """End a running job, wherever it runs. What it has stored stays, and it can be resumed.

    Exit codes: 0 it has ended, 1 it has not within a minute, 2 it was not running.
    """
    record = asyncio.run(_cancel(job_id))
    if record.status.value == "running":
        say(f"Job {job_id} of {record.tenant} was asked to end and still runs: look again soon.")
        raise typer.Exit(EXIT_FAILED)
    say(how_it_ended(record))


def how_it_ended(record: JobRecord) -> str:
    """How the job ended; it may have come to its own end before it heard."""
    told = f"Job {record.id} of {record.tenant} is {record.status.value}."
    if record.status.value not in ("cancelled", "failed"):
        return told
    return f"{told} Go on with it: {resume_command(record.id)}"


async def _cancel(job_id: str) -> JobRecord:
    from raysync.database import open_store
    from raysync.errors import ConfigurationError
    from raysync.models.ids import JobId
    from raysync.models.status import JobStatus
    from raysync.settings import read_settings
    from raysync.store.connection.audit import AuditLog
    from raysync.store.jobs.store import JobStore

    async with open_store(read_settings()) as engine:
        jobs = JobStore(engine)
        if not await jobs.cancel(JobId(job_id)):
            record = await jobs.load(JobId(job_id))
            raise ConfigurationError(
                f"Job {job_id} is {record.status.value}: there is nothing to cancel."
            )
        patience_until_s = time.monotonic() + PATIENCE_S
        while True:
            record = await jobs.load(JobId(job_id))
            if record.status is not JobStatus.RUNNING or time.monotonic() > patience_until_s:
                details = {"job_id": job_id, "status": record.status.value}
                await AuditLog(engine).record(operator_name(), "cancel", record.tenant, details)
                return record
            await asyncio.sleep(LOOK_EVERY_S)
