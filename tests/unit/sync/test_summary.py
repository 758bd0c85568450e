"""Result of a run with counters that contradict each other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from raysync.models.events import ApiUsage, JobHeader, Written
from raysync.models.ids import ChannelId, JobId
from raysync.models.results import SyncJobResult
from raysync.models.status import ChannelJobStatus, JobStatus, SyncType
from raysync.models.work import ChannelOutcome, ChannelTally
from raysync.sync.job.outcome import JobOutcome
from raysync.sync.results.summary import summarize

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = JobHeader(JobId("7"), "takaro", SyncType.FULL, NOW, 48.0, 1.0)
PAGES = "GET /channels/{channel_id}/messages 200"


def outcome(pages: int) -> ChannelOutcome:
    tally = ChannelTally(requests=pages, pages=pages, messages=100 * pages)
    return ChannelOutcome(
        ChannelId(1), ChannelJobStatus.COMPLETED, "worker-0", 1, NOW, NOW, tally, 0
    )


def result(
    pages: int, *calls: int, status: JobStatus = JobStatus.COMPLETED, written: int = 0
) -> SyncJobResult:
    usage = {
        f"worker-{n}": ApiUsage({PAGES: count} if count else {}, written=Written(pages=written))
        for n, count in enumerate(calls)
    }
    end = JobOutcome(status, (outcome(pages),) if pages else (), (), (), 0, ())
    return summarize(HEADER, end, usage, {}, 1, NOW)


@pytest.mark.parametrize(
    ("pages", "calls", "counted"),
    [(511, (), 0), (511, (0, 0), 0), (511, (3, 4), 7), (100, (50,), 50), (2_000, (900,), 900)],
)
def test_far_more_pages_than_requests_are_a_trouble(
    pages: int, calls: tuple[int, ...], counted: int
) -> None:
    summary = result(pages, *calls)

    assert summary.status == "partial"
    (trouble,) = summary.errors
    assert trouble.channel_id is None
    assert trouble.error.startswith(
        f"{pages:,} pages were read, but only {counted} requests were counted. The other requests"
    )


def test_written_pages_count_as_read_without_a_report_of_their_channel() -> None:
    assert result(0, 0, written=400).status == "partial"


@pytest.mark.parametrize(
    ("pages", "calls"), [(511, (520,)), (511, (300, 250)), (100, (51,)), (99, ()), (0, ())]
)
def test_counters_that_agree_or_are_small_are_no_trouble(
    pages: int, calls: tuple[int, ...]
) -> None:
    summary = result(pages, *calls)

    assert (summary.status, summary.errors) == ("completed", [])


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.PARTIAL])
def test_the_status_of_an_unsuccessful_job_stays(status: JobStatus) -> None:
    summary = result(511, status=status)

    assert summary.status == status.value
    assert len(summary.errors) == 1
