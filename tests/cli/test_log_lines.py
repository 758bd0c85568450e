"""Progress as log records: a job's begin, its state every few seconds, its end with figures."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raysync.cli.progress.log_lines import LogObserver
from raysync.cli.progress.periodic import PERIOD_S
from raysync.logs import JsonFormatter
from raysync.models.outage import Outage
from tests.cli.samples import (
    JOB_ID,
    NO_SEARCH,
    channel_error,
    failed_channel,
    failed_result,
    job_result,
    job_view,
)


class Lines(logging.Handler):
    """What a collector would get."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(JsonFormatter({"role": "driver"}).format(record)))


@pytest.fixture
def log() -> Iterator[Lines]:
    lines, logger = Lines(), logging.getLogger("raysync.cli.progress.log_lines")
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(lines)
    logger.setLevel(logging.NOTSET)


class HandTime:
    now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


def test_a_run_is_told_from_its_beginning_to_its_figures(log: Lines) -> None:
    time = HandTime()
    with LogObserver(time.monotonic_s) as observer:
        observer.ray_ready("http://127.0.0.1:8265", token_source=None)
        observer.started("takaro", JOB_ID)
        observer.progress([job_view(3)])
        observer.progress([job_view(3)])
        time.now_s += PERIOD_S
        observer.progress([job_view(3)])
        observer.finished(job_result())

    assert [each["event"] for each in log.lines] == [
        "ray_ready",
        "job_started",
        "job_progress",
        "job_progress",
        "job_ended",
    ]
    assert all(each["job_id"] == JOB_ID for each in log.lines[1:])
    end = log.lines[-1]
    assert (end["tenant"], end["status"], end["level"]) == ("takaro", "completed", "info")
    assert (end["messages"], end["efficiency"], end["took_s"]) == (40_012, 0.975, 33.4)


def test_a_channel_that_is_given_up_is_told_once_and_without_its_name(log: Lines) -> None:
    observer = LogObserver(HandTime().monotonic_s)
    for _ in range(2):
        observer.progress([job_view(channels=(failed_channel(1, "what somebody wrote"),))])

    (line,) = [each for each in log.lines if each["event"] == "channel_failed"]
    assert (line["channel_id"], line["error"]) == ("1001", "AccessDeniedError")
    assert "channel-1" not in json.dumps(line)
    assert "somebody" not in json.dumps(line)


def test_a_failure_that_no_view_showed_is_told_at_the_end_and_no_other_twice(log: Lines) -> None:
    observer = LogObserver(HandTime().monotonic_s)
    observer.progress([job_view(channels=(failed_channel(1),))])
    errors = [channel_error(1), channel_error(2)]
    results = [failed_result(1), failed_result(2)]

    observer.finished(job_result(errors=errors, channel_results=results))

    told = [each for each in log.lines if each["event"] == "channel_failed"]
    assert [(each["channel_id"], each["error"]) for each in told] == [
        ("1001", "AccessDeniedError"),
        ("1002", "AccessDeniedError"),
    ]
    assert [(each["tenant"], each["job_id"]) for each in told] == [("takaro", JOB_ID)] * 2


def test_a_run_that_failed_says_why(log: Lines) -> None:
    error = channel_error(1).model_copy(update={"channel_id": None, "error": "The token is bad."})
    LogObserver(HandTime().monotonic_s).finished(job_result(status="failed", errors=[error]))

    assert [(each["event"], each["level"]) for each in log.lines] == [
        ("job_ended", "warning"),
        ("job_error", "error"),
    ]
    assert log.lines[1]["message"] == "The token is bad."


def test_what_the_api_has_no_route_for_is_a_line_of_its_own(log: Lines) -> None:
    LogObserver(HandTime().monotonic_s).finished(job_result(not_covered=[NO_SEARCH]))

    (line,) = [each for each in log.lines if each["event"] == "not_covered"]
    assert (line["route"], line["tenant"], line["level"]) == (NO_SEARCH.route, "takaro", "info")


def test_what_could_not_be_read_is_counted_at_the_end_where_there_is_any(log: Lines) -> None:
    observer = LogObserver(HandTime().monotonic_s)
    observer.finished(job_result(quarantined=2, unplaced=1))
    observer.finished(job_result())

    assert (log.lines[0]["quarantined"], log.lines[0]["unplaced"]) == (2, 1)
    assert "quarantined" not in log.lines[1]


def test_an_outage_of_the_database_is_told_with_its_times_and_its_reason(log: Lines) -> None:
    time = HandTime()
    since = datetime(2026, 11, 30, 14, 3, 12, tzinfo=UTC)
    with LogObserver(time.monotonic_s) as observer:
        observer.database_away(Outage(since, since + timedelta(hours=2), "connection refused"))
        observer.progress([job_view(3)])
        time.now_s += PERIOD_S
        observer.progress([job_view(3)])
        observer.database_back(6.0)

    assert [(each["event"], each["level"]) for each in log.lines] == [
        ("database_away", "warning"),
        ("database_away", "warning"),
        ("database_back", "info"),
    ]
    first, _, last = log.lines
    assert (first["since"], first["until"], first["reason"]) == (
        "2026-11-30T14:03:12+00:00",
        "2026-11-30T16:03:12+00:00",
        "connection refused",
    )
    assert last["away_s"] == 6.0
