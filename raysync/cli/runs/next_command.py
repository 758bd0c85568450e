"""Commands that continue a run which ended early, with the same options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raysync.cli.output.hints import command_line, suggest

if TYPE_CHECKING:
    from raysync.models.events import JobView
    from raysync.models.ids import JobId
    from raysync.models.outage import Outage
    from raysync.models.results import SyncJobResult
    from raysync.run.observer import RunObserver
    from raysync.run.requests import SyncRequest


def resume_command(job_id: str, workers: int | None = None) -> str:
    """Return the command that resumes a job. *workers* is the only option a job does not store."""
    return command_line("resume", "--job-id", job_id, *_workers(workers))


def start_command(request: SyncRequest, tenants: Iterable[str]) -> str:
    """Return the command that starts the same run for *tenants*, which have no job yet."""
    return command_line(
        "start",
        *(word for slug in tenants for word in ("--tenant", slug)),
        *_scope(request),
        *_extras(request),
        *_workers(request.workers),
    )


def _scope(request: SyncRequest) -> Iterator[str]:
    """Yield the options that say which messages a run reads."""
    from raysync.models.status import SyncType

    if request.sync_type is SyncType.FULL:
        yield "--full"
    elif request.sync_type is SyncType.INCREMENTAL:
        yield "--incremental"
    for option, moment in (("--since", request.since), ("--until", request.until)):
        if moment is not None:
            yield from (option, moment.isoformat())
    for channel in sorted(request.channels):
        yield from ("--channel", str(channel))
    if request.sync_type is not SyncType.FULL:
        for option, length_s in (
            ("--lookback", request.lookback_s),
            ("--archives-every", request.archives_every_s),
        ):
            if length_s is not None:
                yield from (option, f"{round(length_s)}s" if length_s else "0")
    if request.reconcile_requests:
        yield from ("--reconcile-requests", str(request.reconcile_requests))


def _extras(request: SyncRequest) -> Iterator[str]:
    """Yield the options for what a run reads beside messages."""
    if request.extras.reactors:
        yield "--reactors"
    if request.extras.files is None:
        return
    rules = request.extras.files
    yield from ("--attachments", rules.url)
    if rules.max_bytes is not None:
        yield from ("--attachment-max-size", str(rules.max_bytes))
    for media_type in rules.types:
        yield from ("--attachment-type", media_type)


def suggest_next_commands(jobs: Sequence[SyncJobResult], request: SyncRequest | None) -> None:
    """Print the command that continues each run among *jobs* that was cancelled or failed."""
    stopped = [job for job in jobs if job.status in ("cancelled", "failed")]
    workers = request.workers if request is not None else None
    for job in stopped:
        if job.job_id:
            _suggest_resume(job.tenant, job.job_id, workers)
    not_started = [job.tenant for job in stopped if not job.job_id]
    if not not_started:
        return
    if request is not None and request.resume is not None:
        suggest("Nothing was read. Resume the job:", resume_command(request.resume, workers))
        return
    slugs = (word for slug in not_started for word in ("--tenant", slug))
    start = (
        command_line("start", *slugs) if request is None else start_command(request, not_started)
    )
    suggest(f"Nothing was read of {', '.join(not_started)}. Start the run:", start)


def suggest_resume_commands(jobs: Mapping[str, JobId], workers: int | None) -> None:
    """Print the command that resumes each of *jobs*, by tenant, which ended without a result."""
    for tenant, job_id in jobs.items():
        _suggest_resume(tenant, job_id, workers)


def _suggest_resume(tenant: str, job_id: str, workers: int | None) -> None:
    suggest(
        f"What was stored of {tenant} stays. Continue this run:",
        resume_command(job_id, workers),
    )


@dataclass(slots=True)
class StartedJobs:
    """Observer that records the running jobs, and forwards every event to another observer."""

    observer: RunObserver
    jobs: dict[str, JobId] = field(default_factory=dict)  #: by tenant

    def ray_ready(self, dashboard_url: str | None, token_source: str | None) -> None:
        self.observer.ray_ready(dashboard_url, token_source)

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


def _workers(workers: int | None) -> tuple[str, ...]:
    return () if workers is None else ("--workers", str(workers))
