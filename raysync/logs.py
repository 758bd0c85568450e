"""Logs as JSON, a line an event, for whoever collects them: the place of each in fields.

No message of Discord's users and no secret is in a line: of an exception only its class and where
it arose, of other libraries' messages only the first line, since theirs may quote a statement.
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
_MOST_CHARACTERS = 2000
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_place: ContextVar[Mapping[str, object]] = ContextVar("place", default=MappingProxyType({}))


class LogFormat(StrEnum):
    """What the log looks like."""

    TEXT = "text"  #: sentences for people; workers tell warnings alone
    JSON = "json"


@contextmanager
def log_place(**fields: object) -> Iterator[None]:
    """Have *fields* in every line that is logged within, by tasks that begin there too."""
    token = _place.set({**_place.get(), **fields})
    try:
        yield
    finally:
        _place.reset(token)


def configure_logs(form: LogFormat, **process: str) -> None:
    """Set up this process's logs, on stderr; *process* is in each of its lines."""
    show_what_others_wrote()
    if form is LogFormat.TEXT:
        return
    handler = logging.StreamHandler(sys.stderr)
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    handler.setFormatter(JsonFormatter(process, is_ascii=not encoding.lower().startswith("utf")))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(logging.INFO)


class TextFormatter(logging.Formatter):
    """A record as a sentence in one line, whatever a server's error says."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a stack follows where there is one."""
        line = visible_line(record.getMessage())
        if record.exc_info is None or record.exc_info[0] is None:
            return line
        return f"{line}\n{visible(self.formatException(record.exc_info))}"


def show_what_others_wrote() -> None:
    """Have warnings that no handler takes come to stderr with nothing that commands a terminal."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(TextFormatter())


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; ids are strings, as everywhere in raysync's JSON."""

    def __init__(self, process: Mapping[str, str], *, is_ascii: bool = False) -> None:
        """*process* is in each line. *is_ascii*: the log cannot take other characters."""
        super().__init__()
        self._is_ascii = is_ascii
        self._process = dict(process)

    def format(self, record: logging.LogRecord) -> str:
        """The line. What a record says itself overrules the place, and that the process."""
        told = vars(record).items()
        extra = {name: each for name, each in told if name not in _STANDARD and name[0] != "_"}
        places = {**self._process, **_place.get(), **extra}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **{name: _value(name, value) for name, value in places.items()},
        }
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["stack"] = [
                f"{Path(each.filename).name}:{each.lineno} {each.name}"
                for each in traceback.extract_tb(record.exc_info[2])
            ]
        return in_json(json.dumps(line, ensure_ascii=self._is_ascii, default=str))


def _message(record: logging.LogRecord) -> str:
    said = record.getMessage()
    is_ours = record.name == OURS or record.name.startswith(OURS + ".")
    return (said if is_ours else said.partition("\n")[0])[:_MOST_CHARACTERS]


def _value(name: str, value: object) -> object:
    return str(value) if name.endswith("_id") and value is not None else value
