"""The command that goes on with a run that was ended before its end: that very run, as it was."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raysync.cli.output.console import say
from raysync.cli.output.hints import invocation

if TYPE_CHECKING:
    from raysync.models.events import JobView
    from raysync.models.ids import JobId
    from raysync.models.outage import Outage
    from raysync.models.results import SyncJobResult
    from raysync.run.observer import RunObserver
    from raysync.run.requests import SyncRequest


def resume_command(job_id: str, workers: int | None = None) -> str:
    """Return the command that resumes a job; *workers* is all that a job does not keep."""
    return _command("resume", "--job-id", job_id, *_workers(workers))


def start_command(request: SyncRequest, tenants: Iterable[str]) -> str:
    """Return the command that begins the same for *tenants*, of which no job was begun."""
    from raysync.models.status import SyncType
    from raysync.run.requests import DEFAULT_LOOKBACK_S

    words = ["start", *(word for slug in tenants for word in ("--tenant", slug))]
    if request.sync_type is SyncType.FULL:
        words.append("--full")
    elif request.sync_type is SyncType.INCREMENTAL:
        words.append("--incremental")
    for option, moment in (("--since", request.since), ("--until", request.until)):
        if moment is not None:
            words += [option, moment.isoformat()]
    for channel in sorted(request.channels):
        words += ["--channel", str(channel)]
    if request.lookback_s != DEFAULT_LOOKBACK_S and request.sync_type is not SyncType.FULL:
        words += ["--lookback", f"{round(request.lookback_s)}s" if request.lookback_s else "0"]
    if request.reconcile_requests:
        words += ["--reconcile-requests", str(request.reconcile_requests)]
    if request.extras.reactors:
        words.append("--reactors")
    if request.extras.files is not None:
        rules = request.extras.files
        words += ["--attachments", rules.url]
        if rules.max_bytes is not None:
            words += ["--attachment-max-size", str(rules.max_bytes)]
        words += [word for kind in rules.types for word in ("--attachment-type", kind)]
    return _command(*words, *_workers(request.workers))


def continue_hints(jobs: Sequence[SyncJobResult], request: SyncRequest | None) -> list[str]:
    """Return a sentence for each run among *jobs* that can be gone on with."""
    stopped = [job for job in jobs if job.status in ("cancelled", "failed")]
    workers = request.workers if request is not None else None
    told = [
        f"What was stored of {job.tenant} stays. Go on with this run: "
        f"{resume_command(job.job_id, workers)}"
        for job in stopped
        if job.job_id
    ]
    unbegun = [job.tenant for job in stopped if not job.job_id]
    if unbegun and request is not None and request.resume is not None:
        return [*told, f"Nothing was read. Resume it: {resume_command(request.resume, workers)}"]
    if unbegun:
        begin = (
            _command("start", *(word for slug in unbegun for word in ("--tenant", slug)))
            if request is None
            else start_command(request, unbegun)
        )
        told.append(f"Nothing was read of {', '.join(unbegun)}. Begin it: {begin}")
    return told


@dataclass(slots=True)
class StartedJobs:
    """Observer that remembers the jobs under way, and hands everything on to another."""

    observer: RunObserver
    jobs: dict[str, JobId] = field(default_factory=dict)  #: by tenant

    def ray_ready(self, dashboard_url: str | None, needs_token: bool) -> None:
        self.observer.ray_ready(dashboard_url, needs_token)

    def started(self, tenant: str, job_id: JobId) -> None:
        self.jobs[tenant] = job_id
        self.observer.started(tenant, job_id)

    def progress(self, views: Sequence[JobView]) -> None:
        self.observer.progress(views)

    def database_away(self, outage: Outage) -> None:
        self.observer.database_away(outage)

    def database_back(self, after_s: float) -> None:
        self.observer.database_back(after_s)

    def finished(self, result: SyncJobResult) -> None:
        self.jobs.pop(result.tenant, None)
        self.observer.finished(result)


def say_resume_commands(jobs: Mapping[str, JobId], workers: int | None) -> None:
    """Say how to go on with jobs whose run ended without a result."""
    for tenant, job_id in jobs.items():
        command = resume_command(job_id, workers)
        say(f"What was stored of {tenant} stays. Go on with this run: {command}")


def _workers(workers: int | None) -> tuple[str, ...]:
    return () if workers is None else ("--workers", str(workers))


def _command(*words: str) -> str:
    return f"{invocation()} {shlex.join(words)}"
