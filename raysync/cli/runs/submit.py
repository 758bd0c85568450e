"""`raysync submit`."""

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
from raysync.cli.output.console import pass_on, say, tell, tell_json
from raysync.cli.output.streams import keep_exit_code
from raysync.cli.runs.remote_command import checked, refuse_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raysync.submission.jobs import ClusterJobs, JobEnd

RUNNABLE = ("start", "resume", "verify", "dead-letters", "doctor")
EVERY_TENANT = "*"


def submit(
    context: typer.Context,
    command: Annotated[
        list[str],
        typer.Argument(metavar="-- COMMAND", help="As in `-- start --tenant=takaro`."),
    ],
    address: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The cluster's dashboard. [default: RAY_API_SERVER_ADDRESS, RAY_ADDRESS, or "
            "http://127.0.0.1:8265]",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Show the log, and end as the job ends.")
    ] = True,
    working_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR-or-URL",
            help="Ship this checkout, where nodes have no raysync of theirs. [default: nothing]",
        ),
    ] = None,
    runtime_env: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A runtime environment of Ray, without secrets."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the job and how it ended as JSON on stdout.")
    ] = False,
) -> None:
    """Run a command as a job of a Ray cluster: start, resume, verify, dead-letters or doctor.

    Tokens, the database's address and the secret key are those of the cluster: none is sent. Of
    this machine nothing is but what --working-dir or --runtime-env names, and that is refused where
    it holds keys, exports or raysync's own folder. The
    job's log, with what the command prints, comes to stderr. Ctrl-C stops the job cleanly; a second
    one leaves it to itself.

    Exit codes: the command's own, 130 where the job was stopped, 2 where it cannot be submitted.
    """
    if command[0] not in RUNNABLE:
        raise typer.BadParameter(
            f"{command[0]} is not run on a cluster: one of {', '.join(RUNNABLE)} is."
        )
    refuse_secrets(command)
    about = _about(command[0], checked(context, command))
    from raysync.settings import home
    from raysync.submission.jobs import ClusterJobs, JobOrder

    order = JobOrder(
        _submission_id(about),
        shlex.join(["python", "-m", "raysync", *command]),
        about,
        runtime_env,
        working_dir,
        (home(),),
    )
    keep_exit_code()
    jobs = ClusterJobs.at(address)
    _refuse_second(jobs, about)
    jobs.submit(order, say)
    say(f"Job {order.submission_id} was submitted to {jobs.address}.")
    end = asyncio.run(_follow(jobs, order.submission_id)) if wait else None
    if as_json:
        tell_json(json.dumps(_as_json(order.submission_id, about, end), indent=2))
    elif not wait:
        tell(order.submission_id)
    if end is not None:
        _end_as(end, order.submission_id)


def _end_as(end: JobEnd, submission_id: str) -> NoReturn:
    """End as the job did."""
    if end.reason is not None:
        say(f"Ray could not run job {submission_id}: {end.reason}")
    raise typer.Exit(end.exit_code)


def _about(command: str, given: Mapping[str, Any]) -> dict[str, str]:
    """What Ray's dashboard tells of the job: the command, and whose tenants' it is."""
    if given.get("job_id") is not None:
        return {"raysync": command, "job_id": str(given["job_id"])}
    named = given.get("tenant")
    slugs = [named] if isinstance(named, str) else list(named or [EVERY_TENANT])
    return {"raysync": command, "tenant": ",".join(dict.fromkeys(slugs))}


def _submission_id(about: Mapping[str, str]) -> str:
    """An id that tells whose job it is and when it was submitted, and is never given twice."""
    slugs = about.get("tenant", "").split(",")
    subject = slugs[0] if len(slugs) == 1 else f"{len(slugs)}-tenants"
    subject = {EVERY_TENANT: "all", "": "job"}.get(subject, subject)
    plain = "".join(each if each.isascii() and each.isalnum() else "-" for each in subject)
    now = datetime.now(UTC)
    return f"raysync-{plain[:40]}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def _refuse_second(jobs: ClusterJobs, about: Mapping[str, str]) -> None:
    """One job of a tenant at a time. The database sees to that; this says so before it begins."""
    from raysync.errors import JobRunningError

    for submission_id, other in jobs.under_way().items():
        shared = _subjects(about) & _subjects(other)
        if "raysync" in other and shared and "doctor" not in (about["raysync"], other["raysync"]):
            raise JobRunningError(
                f"Job {submission_id} is at work on the same on {jobs.address}: wait for it "
                f"(`ray job logs --follow {submission_id}`), or stop it "
                f"(`ray job stop {submission_id}`)."
            )


def _subjects(about: Mapping[str, str]) -> set[str]:
    named = [about.get("job_id"), *about.get("tenant", "").split(",")]
    return {each for each in named if each}


async def _follow(jobs: ClusterJobs, submission_id: str) -> JobEnd:
    """Follow the job to its end. The first SIGINT or SIGTERM stops it, the next leaves it."""
    stop, leave = asyncio.Event(), asyncio.Event()

    def interrupt() -> None:
        (leave if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    following = asyncio.create_task(jobs.follow(submission_id, pass_on))
    stopping = asyncio.create_task(_stop(jobs, submission_id, stop))
    leaving = asyncio.create_task(leave.wait())
    try:
        await asyncio.wait([following, leaving], return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            return following.result()
    finally:
        for each in (following, stopping, leaving):
            each.cancel()
    say(f"Job {submission_id} was asked to stop, and is left to itself.")
    raise typer.Exit(EXIT_INTERRUPTED)


async def _stop(jobs: ClusterJobs, submission_id: str, asked: asyncio.Event) -> None:
    from raysync.errors import RaysyncError

    await asked.wait()
    say("Stopping the job; Ctrl-C again leaves it to itself.")
    try:
        await asyncio.to_thread(jobs.stop, submission_id)
    except RaysyncError as error:
        say(f"It could not be asked to stop: {error}")


def _as_json(submission_id: str, about: Mapping[str, str], end: JobEnd | None) -> dict[str, Any]:
    return {
        "submission_id": submission_id,
        **about,
        "status": "submitted" if end is None else end.status,
        "exit_code": None if end is None else end.exit_code,
    }
