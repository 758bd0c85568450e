"""Commands `raysync resume` and `raysync cancel`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import options, params
from raysync.cli.error_handling import EXIT_FAILED
from raysync.cli.output.console import say
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.runs.next_command import resume_command
from raysync.cli.runs.start import exit_code, run, show
from raysync.models.audit import AuditAction
from raysync.operators import operator_name

if TYPE_CHECKING:
    from raysync.models.records import JobRecord

CANCEL_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.2


def resume(
    job_id: Annotated[
        str, typer.Option(parser=params.job_id, metavar="ID", help="Continue this job.")
    ],
    workers: options.Workers = None,
    as_json: options.ResultAsJson = False,
) -> None:
    """Continue a job that stopped, in the foreground.

    Give a job that was cancelled, failed, ended as partial, or whose process was killed. The
    failed channels of a partial job are tried again. The job keeps the options that it was started
    with, and reads nothing again that it has stored.

    Exit codes: as for `raysync start`.
    """
    from raysync.models.ids import JobId
    from raysync.run.requests import SyncRequest

    request = SyncRequest(resume=JobId(job_id), workers=workers)
    result = run(request)
    show(result, as_json=as_json, request=request)
    raise typer.Exit(exit_code(result))


def cancel(
    job_id: Annotated[
        str, typer.Option(parser=params.job_id, metavar="ID", help="Cancel this job.")
    ],
) -> None:
    """Cancel a running job, on whatever machine it runs.

    Stored messages stay, and `raysync resume` can continue the job.

    Exit codes: 0 it has ended, 1 it has not ended within a minute, 2 it was not running.
    """
    record = asyncio.run(_cancel(job_id))
    if record.status.value == "running":
        suggest(
            f"Job {job_id} of {record.tenant} was asked to end, and still runs. Look again soon:",
            command_line("status", "--job-id", job_id),
        )
        raise typer.Exit(EXIT_FAILED)
    say_end(record)


def say_end(record: JobRecord) -> None:
    """Print how the job ended. It may have completed before the request to cancel arrived."""
    sentence = f"Job {record.id} of {record.tenant} is {record.status.value}."
    if record.status.value in ("cancelled", "failed"):
        suggest(f"{sentence} Continue it:", resume_command(record.id))
    else:
        say(sentence)


async def _cancel(job_id: str) -> JobRecord:
    from raysync.database import open_store
    from raysync.errors import ConfigurationError
    from raysync.models.ids import JobId
    from raysync.models.status import JobStatus
    from raysync.settings import read_settings
    from raysync.store.connection.audit import AuditLog
    from raysync.store.jobs.lifecycle import JobStore

    async with open_store(read_settings()) as engine:
        jobs = JobStore(engine)
        if not await jobs.cancel(JobId(job_id)):
            record = await jobs.load(JobId(job_id))
            raise ConfigurationError(
                f"Job {job_id} is {record.status.value} already, so there is nothing to cancel."
            )
        deadline_s = time.monotonic() + CANCEL_TIMEOUT_S
        while True:
            record = await jobs.load(JobId(job_id))
            if record.status is not JobStatus.RUNNING or time.monotonic() > deadline_s:
                details = {"job_id": job_id, "status": record.status.value}
                await AuditLog(engine).record(
                    operator_name(), AuditAction.CANCEL, record.tenant, details
                )
                return record
            await asyncio.sleep(POLL_INTERVAL_S)
