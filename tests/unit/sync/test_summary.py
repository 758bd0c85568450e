"""What a result says of a run whose own counters contradict each other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from raysync.models.events import ApiUsage, JobHeader, Written
from raysync.models.ids import ChannelId, JobId
from raysync.models.results import SyncJobResult
from raysync.models.status import ChannelJobStatus, JobStatus, SyncType
from raysync.models.work import ChannelOutcome, ChannelTally
from raysync.sync.job_outcome import JobOutcome
from raysync.sync.summary import summarize

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
    told = result(pages, *calls)

    assert told.status == "partial"
    (trouble,) = told.errors
    assert trouble.channel_id is None
    assert trouble.error.startswith(
        f"{pages:,} pages were read, but only {counted} requests were counted. The other requests"
    )


def test_what_was_written_counts_as_read_though_no_channel_has_told_of_it() -> None:
    assert result(0, 0, written=400).status == "partial"


@pytest.mark.parametrize(
    ("pages", "calls"), [(511, (520,)), (511, (300, 250)), (100, (51,)), (99, ()), (0, ())]
)
def test_counters_that_agree_or_are_small_are_none(pages: int, calls: tuple[int, ...]) -> None:
    told = result(pages, *calls)

    assert (told.status, told.errors) == ("completed", [])


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.PARTIAL])
def test_how_the_job_ended_stays(status: JobStatus) -> None:
    told = result(511, status=status)

    assert told.status == status.value
    assert len(told.errors) == 1
