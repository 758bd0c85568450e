"""Command `raysync submit`."""

from __future__ import annotations

import asyncio
import json
import secrets
import shlex
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from raysync.cli.error_handling import EXIT_INTERRUPTED
from raysync.cli.output.console import print_json, print_line, print_output, say
from raysync.cli.output.streams import keep_exit_code
from raysync.cli.runs.remote_command import parse_command, refuse_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raysync.submission.jobs import ClusterJobs, JobOrder, SubmissionEnd

RUNNABLE = ("start", "resume", "verify", "dead-letters", "doctor", "tail")
TAIL = "tail"
EVERY_TENANT = "*"
MOST_NAMED = 3
"""Limit on the tenants in a job's name."""


def submit(
    context: typer.Context,
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="-- COMMAND", help="The command to run, as in `-- start --tenant=takaro`."
        ),
    ],
    address: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Use the cluster with this dashboard. [default: RAY_API_SERVER_ADDRESS, "
            "RAY_ADDRESS, or http://127.0.0.1:8265]",
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait", help="Show the log until the job ends, and exit with its code."
        ),
    ] = True,
    working_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR-or-URL",
            help="Send this checkout of raysync to the nodes, if raysync is not installed there. "
            "[default: send nothing]",
        ),
    ] = None,
    runtime_env: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Use the Ray runtime environment in this file. It must hold no secrets. "
            "[default: none]",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the job and its end as JSON on stdout.")
    ] = False,
) -> None:
    """Run a command as a job of a Ray cluster.

    The command is start, resume, verify, dead-letters, doctor or tail.

    The cluster has its own tokens, database address and secret key; none is sent. Only the files
    that --working-dir or --runtime-env names are sent from this machine. Folders with keys, exports
    or raysync's own data are refused.

    The job's log, with the output of the command, is shown on stderr. Ctrl-C stops the job
    cleanly; a second Ctrl-C stops waiting, and the job goes on.

    Exit codes: those of the command, 130 if the job was stopped, 2 if it cannot be submitted.
    """
    if command[0] not in RUNNABLE:
        raise typer.BadParameter(
            f"{command[0]} does not run on a cluster. Give one of {', '.join(RUNNABLE)}."
        )
    refuse_secrets(command)
    metadata = _metadata(command[0], parse_command(context, command))
    order = _order(command, metadata, runtime_env, working_dir)
    keep_exit_code()
    jobs = _submit(order, address)
    end = asyncio.run(_follow(jobs, order.submission_id)) if wait else None
    if as_json:
        print_json(json.dumps(_as_json(order.submission_id, metadata, end), indent=2))
    elif not wait:
        print_line(order.submission_id)
    if end is not None:
        _end_as(end, order.submission_id)


def _order(
    command: Sequence[str],
    metadata: Mapping[str, str],
    runtime_env: Path | None,
    working_dir: str | None,
) -> JobOrder:
    from raysync.settings import home
    from raysync.submission.jobs import JobOrder

    return JobOrder(
        _submission_id(metadata),
        shlex.join(["python", "-m", "raysync", *command]),
        metadata,
        runtime_env,
        working_dir,
        (home(),),
    )


def _submit(order: JobOrder, address: str | None) -> ClusterJobs:
    """Submit a job, unless one for the same tenants or job runs. Return the cluster's jobs."""
    from raysync.submission.jobs import ClusterJobs

    jobs = ClusterJobs.at(address)
    _refuse_second(jobs, order.metadata)
    jobs.submit(order, say)
    say(f"Submitted job {order.submission_id} to {jobs.address}.")
    return jobs


def _end_as(end: SubmissionEnd, submission_id: str) -> NoReturn:
    """Exit with the job's exit code."""
    if end.reason is not None:
        say(f"Ray could not run job {submission_id}: {end.reason}")
    raise typer.Exit(end.exit_code)


def _metadata(command: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the job's metadata for Ray's dashboard: its name, command, and job id or tenants.

    Ray's list of jobs shows `job_name`.
    """
    if parameters.get("job_id") is not None:
        job_id = str(parameters["job_id"])
        return {"job_name": f"raysync {command} {job_id}", "raysync": command, "job_id": job_id}
    named = parameters.get("tenant")
    slugs = list(dict.fromkeys([named] if isinstance(named, str) else named or [EVERY_TENANT]))
    subjects = ["all tenants" if slug == EVERY_TENANT else slug for slug in slugs]
    if len(subjects) > MOST_NAMED:
        subjects = [f"{len(subjects)} tenants"]
    name = f"raysync {command} {', '.join(subjects)}"
    return {"job_name": name, "raysync": command, "tenant": ",".join(slugs)}


def _submission_id(metadata: Mapping[str, str]) -> str:
    """Return a unique id that names the tenant and the time of submission."""
    slugs = metadata.get("tenant", "").split(",")
    subject = slugs[0] if len(slugs) == 1 else f"{len(slugs)}-tenants"
    subject = {EVERY_TENANT: "all", "": "job"}.get(subject, subject)
    plain = "".join(char if char.isascii() and char.isalnum() else "-" for char in subject)
    now = datetime.now(UTC)
    return f"raysync-{plain[:40]}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def _refuse_second(jobs: ClusterJobs, metadata: Mapping[str, str]) -> None:
    """Raise JobRunningError if one for the same tenants or job runs on the cluster.

    The database allows only one as well; this fails before the job is submitted.
    """
    from raysync.errors import JobRunningError

    for submission_id, other in jobs.under_way().items():
        shared = _subjects(metadata) & _subjects(other)
        if "raysync" in other and shared and _excludes(metadata["raysync"], other["raysync"]):
            raise JobRunningError(
                f"Job {submission_id} on {jobs.address} already runs for the same tenants or job. "
                f"Wait for it (`{jobs.command('logs', '--follow', submission_id)}`), or stop it "
                f"(`{jobs.command('stop', submission_id)}`)."
            )


def _excludes(command: str, other: str) -> bool:
    """Return whether two commands on one tenant exclude each other: a tail listens beside runs."""
    return "doctor" not in (command, other) and (command == TAIL) == (other == TAIL)


def _subjects(metadata: Mapping[str, str]) -> set[str]:
    subjects = [metadata.get("job_id"), *metadata.get("tenant", "").split(",")]
    return {subject for subject in subjects if subject}


async def _follow(jobs: ClusterJobs, submission_id: str) -> SubmissionEnd:
    """Follow the job to its end. The first SIGINT or SIGTERM stops it, the second detaches."""
    stop, detach = asyncio.Event(), asyncio.Event()

    def interrupt() -> None:
        (detach if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    following = asyncio.create_task(jobs.follow(submission_id, print_output))
    stopping = asyncio.create_task(_stop(jobs, submission_id, stop))
    detaching = asyncio.create_task(detach.wait())
    try:
        await asyncio.wait([following, detaching], return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            return following.result()
    finally:
        for task in (following, stopping, detaching):
            task.cancel()
    say(f"Job {submission_id} was asked to stop, and this command no longer waits for it.")
    raise typer.Exit(EXIT_INTERRUPTED)


async def _stop(jobs: ClusterJobs, submission_id: str, is_asked: asyncio.Event) -> None:
    from raysync.errors import RaysyncError

    await is_asked.wait()
    say("Stopping the job. Press Ctrl-C again to stop waiting for it.")
    try:
        await asyncio.to_thread(jobs.stop, submission_id)
    except RaysyncError as error:
        say(f"The job could not be asked to stop: {error}")


def _as_json(
    submission_id: str, metadata: Mapping[str, str], end: SubmissionEnd | None
) -> dict[str, Any]:
    return {
        "submission_id": submission_id,
        **metadata,
        "status": "submitted" if end is None else end.status,
        "exit_code": None if end is None else end.exit_code,
    }
