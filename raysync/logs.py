"""Logs as sentences, or as JSON Lines with the context of each event in fields.

No line contains a message of Discord's users or a secret. Of an exception it has only the class
and the stack; of other libraries' messages only the first line, as others may quote a statement.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from raysync.visible import in_json, visible, visible_line

OURS: Final = "raysync"
"""Root of raysync's loggers."""
ACTORS: Final = frozenset({"worker", "tracker", "governor"})
"""Roles of processes that are actors of Ray."""
_MAX_CHARACTERS = 2000
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_place: ContextVar[Mapping[str, object]] = ContextVar("place", default=MappingProxyType({}))


class LogFormat(StrEnum):
    """Format of the log."""

    TEXT = "text"  #: sentences for people; the driver logs only warnings
    JSON = "json"  #: one JSON object per line


@contextmanager
def log_place(**fields: object) -> Iterator[None]:
    """Add *fields* to each line logged inside, including by tasks created inside."""
    token = _place.set({**_place.get(), **fields})
    try:
        yield
    finally:
        _place.reset(token)


def configure_logs(form: LogFormat, **process: str) -> None:
    """Set up this process's logs, on stderr; add the fields *process* to each line."""
    escape_last_resort()
    if form is LogFormat.TEXT:
        if process.get("role") in ACTORS:  # they have no terminal; Ray's dashboard shows their logs
            _log_to_stderr(TimedFormatter())
        return
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    _log_to_stderr(JsonFormatter(process, is_ascii=not encoding.lower().startswith("utf")))


def _log_to_stderr(formatter: logging.Formatter) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(logging.INFO)


class TextFormatter(logging.Formatter):
    """Formatter that writes a record as one line, even if a server's error has several."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the stack if the record has one."""
        line = visible_line(record.getMessage())
        if not record.exc_info or record.exc_info[0] is None:  # asyncio sets it to False
            return line
        return f"{line}\n{visible(self.formatException(record.exc_info))}"


class TimedFormatter(TextFormatter):
    """Formatter that writes the time in UTC and the level before the line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the stack if the record has one."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(" ", "milliseconds")
        return f"{at} {record.levelname} {super().format(record)}"


def escape_last_resort() -> None:
    """Escape terminal commands in warnings that no handler takes, which go to stderr."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(TextFormatter())


class JsonFormatter(logging.Formatter):
    """Formatter that writes a record as one line of JSON, with ids as strings."""

    def __init__(self, process: Mapping[str, str], *, is_ascii: bool = False) -> None:
        """*process* is added to each line. *is_ascii*: escape what is not ASCII."""
        super().__init__()
        self._is_ascii = is_ascii
        self._process = dict(process)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. A record's fields override `log_place`, which overrides the process."""
        fields = vars(record).items()
        extra = {name: value for name, value in fields if name not in _STANDARD and name[0] != "_"}
        places = {**self._process, **_place.get(), **extra}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **{name: _value(name, value) for name, value in places.items()},
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["stack"] = [
                f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return in_json(json.dumps(line, ensure_ascii=self._is_ascii, default=str))


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    is_ours = record.name == OURS or record.name.startswith(OURS + ".")
    return (message if is_ours else message.partition("\n")[0])[:_MAX_CHARACTERS]


def _value(name: str, value: object) -> object:
    return str(value) if name.endswith("_id") and value is not None else value
