"""Jobs to report on, made up: of any size, and as a worker would have told them."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raysync.models.events import ApiUsage
from raysync.models.history import ChannelHistory, JobHistory
from raysync.models.ids import ChannelId, TenantId
from raysync.models.records import JobRecord
from raysync.models.results import ParallelStats, RequestSeries, SyncJobResult, TimeSpent
from raysync.models.samples import JobSample
from raysync.models.status import ChannelJobStatus, FailureClass, JobStatus, SyncType
from raysync.models.work import Failure, SyncWindow, VisitSpan
from raysync.sync.channels.visits import with_visit
from tests.cli.samples import JOB_ID, STARTED, job_result, job_view

BUDGET = 48.0
STARTUP_S = 2
PAGE = "GET /channels/{channel_id}/messages 200"


def channel(number: int, **changes) -> ChannelHistory:
    """A channel of three pages that was read in one visit of two seconds."""
    at_s = STARTED.timestamp() + STARTUP_S
    plain = ChannelHistory(
        channel_id=ChannelId(1000 + number),
        name=f"channel-{number}",
        status=ChannelJobStatus.COMPLETED,
        worker_id="worker-0",
        started_at=STARTED + timedelta(seconds=STARTUP_S),
        completed_at=STARTED + timedelta(seconds=STARTUP_S + 2),
        messages=250,
        requests=3,
        retry_count=0,
        failure=None,
        visits=(VisitSpan("worker-0", at_s, at_s + 2, 1, 2.0),),
    )
    return replace(plain, **changes)


def failed(number: int, message: str = "Discord answers 403", **changes) -> ChannelHistory:
    failure = Failure(FailureClass.PERMANENT, "AccessDeniedError", message)
    return channel(number, status=ChannelJobStatus.FAILED, failure=failure, **changes)


def busy_guild(channels: int, workers: int = 10, slots: int = 5) -> list[ChannelHistory]:
    """Channels of very different sizes, read in turns of five pages, the most left first."""
    chance = random.Random(channels)
    pages = [min(max(1, int(chance.paretovariate(0.9))), 120) for _ in range(channels)]
    page_s = workers * slots / BUDGET
    free = [(STARTUP_S + chance.random(), slot) for slot in range(workers * slots)]
    waiting = [(-size, number) for number, size in enumerate(pages)]
    parked: list[tuple[float, int, int]] = []
    spans: list[list[VisitSpan]] = [[] for _ in pages]
    for each in (free, waiting):
        heapq.heapify(each)
    while waiting or parked:
        at_s, slot = heapq.heappop(free)
        while parked and (parked[0][0] <= at_s or not waiting):
            ready_s, left, number = heapq.heappop(parked)
            at_s = max(at_s, ready_s)
            heapq.heappush(waiting, (left, number))
        left, number = heapq.heappop(waiting)
        length_s = page_s * min(-left, 5) * (0.9 + 0.2 * chance.random())
        from_s = STARTED.timestamp() + at_s
        visit = VisitSpan(f"worker-{slot % workers}", from_s, from_s + length_s, 1, length_s)
        spans[number].append(visit)
        if left + 5 < 0:
            heapq.heappush(parked, (at_s + 5.0, left + 5, number))
        heapq.heappush(free, (at_s + length_s, slot))
    return [_read(number, *each) for number, each in enumerate(zip(pages, spans, strict=True))]


def _read(number: int, pages: int, spans: Sequence[VisitSpan]) -> ChannelHistory:
    visits: tuple[VisitSpan, ...] = ()
    for each in spans:
        visits = with_visit(visits, each)
    return channel(
        number,
        worker_id=spans[-1].worker_id,
        started_at=datetime.fromtimestamp(spans[0].began_s, UTC),
        completed_at=datetime.fromtimestamp(spans[-1].ended_s, UTC),
        messages=pages * 100 - number % 100,
        requests=pages,
        visits=visits,
    )


def finished(channels: Sequence[ChannelHistory], **changes) -> JobHistory:
    """A job that has ended, with samples of every second."""
    requests = sum(each.requests for each in channels)
    messages = sum(each.messages for each in channels)
    ended = max(each.completed_at for each in channels if each.completed_at)
    length_s = max(int((ended - STARTED).total_seconds()), STARTUP_S + 1)
    series = rising(requests, length_s - STARTUP_S)
    done = [sum(series[:second]) for second in range(len(series) + 1)]
    samples = tuple(
        JobSample(
            STARTUP_S + second,
            STARTED + timedelta(seconds=STARTUP_S + second),
            messages * count // max(requests, 1),
            count,
            0,
        )
        for second, count in enumerate(done)
    )
    first, last = STARTED + timedelta(seconds=STARTUP_S), STARTED + timedelta(seconds=length_s)
    usage = ApiUsage(
        calls={PAGE: requests, "GET /guilds/{guild_id} 200": 1},
        permit_wait_s=12.5,
        bucket_wait_s=3.25,
        store_s=7.75,
        first_request_at=first,
        last_request_at=last,
    )
    ideal_s = min(max(requests - 1, 0) / BUDGET, (last - first).total_seconds())
    result = job_result(
        messages_processed=messages,
        started_at=STARTED,
        completed_at=ended,
        parallel_stats=stats(requests, ideal_s, (last - first).total_seconds(), series),
    )
    failures = sum(each.failure is not None for each in channels)
    record = JobRecord(
        id=JOB_ID,
        tenant_id=TenantId(1),
        tenant="takaro",
        status=JobStatus.PARTIAL if failures else JobStatus.COMPLETED,
        window=SyncWindow(SyncType.FULL),
        ray_job_id=None,
        started_at=STARTED,
        completed_at=ended,
        heartbeat_age_s=60.0,
        error=None,
        view=job_view(
            0,
            channels_total=len(channels),
            channels_completed=len(channels) - failures,
            channels_failed=failures,
            messages=messages,
            requests=requests,
        ),
        result=result.model_copy(update={"status": "partial"}) if failures else result,
    )
    plain = JobHistory(record, tuple(channels), {"worker-0": usage}, samples, ())
    return replace(plain, **changes)


def stats(
    requests: int, ideal_s: float, actual_s: float, series: Sequence[int] | None
) -> ParallelStats:
    spent = TimeSpent(
        startup_s=STARTUP_S,
        tail_s=1.0,
        permit_wait_s=12.5,
        bucket_wait_s=3.25,
        database_s=7.75,
        requests=None
        if series is None
        else RequestSeries(
            first_at=STARTED + timedelta(seconds=STARTUP_S), bin_s=1, requests=list(series)
        ),
    )
    return ParallelStats(
        max_concurrent_channels=50,
        average_channel_time=8.2,
        total_api_calls=requests,
        rate_limit_encounters=0,
        ideal_s=ideal_s,
        actual_s=actual_s,
        efficiency=min(ideal_s / actual_s, 1.0),
        time_spent=spent,
    )


def rising(requests: int, length_s: int) -> list[int]:
    """So many requests in so many seconds: slower in the first and the last than between."""
    counts, left = [], requests
    for second in range(length_s):
        share = 0.4 if second == 0 else 1.0
        counts.append(min(left, round(share * requests / max(length_s - 1.2, 1.0))))
        left -= counts[-1]
    return [*counts[:-1], counts[-1] + left]


def with_result(history: JobHistory, **changes) -> JobHistory:
    """The same job with a result of other words."""
    result = history.record.result
    assert isinstance(result, SyncJobResult)
    changed = result.model_copy(update=changes)
    return replace(history, record=replace(history.record, result=changed))


def unfinished(history: JobHistory, **changes) -> JobHistory:
    """The same job while it runs."""
    running = replace(
        history.record,
        status=JobStatus.RUNNING,
        completed_at=None,
        result=None,
        heartbeat_age_s=0.4,
    )
    return replace(history, record=replace(running, **changes))
