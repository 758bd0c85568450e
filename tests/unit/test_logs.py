"""Log lines as JSON: where something happened is in fields, what people wrote is not there."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from raysync.logs import JsonFormatter, TimedFormatter, log_place

FORMATTER = JsonFormatter({"role": "worker", "worker_id": "worker-3"})


class Kept(logging.Handler):
    """Formats each record when it is logged, as a stream would."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = FORMATTER.format(record)
        assert "\n" not in text
        self.lines.append(json.loads(text))


def logger(name: str) -> tuple[logging.Logger, Kept]:
    made, kept = logging.Logger(name), Kept()  # noqa: LOG001 one that nobody else has
    made.addHandler(kept)
    return made, kept


def test_a_line_tells_its_place_in_fields_and_ids_as_strings() -> None:
    log, kept = logger("raysync.sync.channels.channel")
    with log_place(tenant="takaro", job_id="job-1"), log_place(channel_id=2**60 + 1):
        log.warning("asked %s", "again", extra={"event": "retried", "attempt": 2})
    log.info("outside")

    line, outside = kept.lines
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "raysync.sync.channels.channel",
        "message": "asked again",
        "event": "retried",
        "role": "worker",
        "worker_id": "worker-3",
        "tenant": "takaro",
        "job_id": "job-1",
        "channel_id": str(2**60 + 1),
        "attempt": 2,
    }
    assert "tenant" not in outside


def test_what_a_record_says_itself_overrules_its_place() -> None:
    log, kept = logger("raysync")
    with log_place(job_id="outer"):
        log.info("told", extra={"job_id": "inner", "worker_id": "worker-9"})

    assert (kept.lines[0]["job_id"], kept.lines[0]["worker_id"]) == ("inner", "worker-9")


@pytest.mark.parametrize("name", ["asyncio", "raysync.sync.channels.channel"])
def test_an_exception_is_told_by_its_class_and_place_and_not_by_what_it_quotes(name: str) -> None:
    log, kept = logger(name)
    try:
        int("what somebody wrote")
    except ValueError:
        log.exception("it failed\nVALUES ('what somebody wrote')" if name == "asyncio" else "it")

    (line,) = kept.lines
    assert line["error"] == "ValueError"
    assert line["stack"][0].startswith("test_logs.py:")
    assert "somebody" not in json.dumps(line)


def test_a_line_of_an_actor_begins_with_its_time_and_level() -> None:
    record = logging.makeLogRecord(
        {"msg": "released %s\x1b[31m", "args": ("worker-3",), "levelname": "INFO", "created": 0.0}
    )

    line = TimedFormatter().format(record)

    assert line.startswith("1970-01-01 00:00:00.000+00:00 INFO released worker-3")
    assert "\x1b" not in line


@pytest.mark.parametrize("formatter", [FORMATTER, TimedFormatter("%(message)s")])
def test_a_record_without_an_error_as_asyncio_logs_it(formatter: logging.Formatter) -> None:
    record = logging.makeLogRecord(
        {"name": "asyncio", "msg": "Unclosed client session", "exc_info": False}
    )

    assert "Unclosed client session" in formatter.format(record)
