"""Log of the embedded server, read for the reason why the server stopped."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FULL_BELOW_BYTES: Final = 16 * 1024 * 1024
"""A disk with less room is full: a segment of the write-ahead log does not fit."""
START_BELOW_BYTES: Final = 1024 * 1024
"""With less room a server does not start, and neither ends nor reports it for minutes."""
_MOST_BYTES: Final = 64 * 1024
_LINE: Final = re.compile(r"(?:^|\[\d+\] )(PANIC|FATAL): +(.*)")
_NO_SPACE: Final = ("No space left on device", "Disk quota exceeded")
_STOP_REQUESTS: Final = ("received fast shutdown request", "received smart shutdown request")
_CONSEQUENCES: Final = (
    "the database system is",  # starting up, shutting down, not yet accepting connections
    "terminating ",
    "connection to client",
    "sorry, too many clients",
    "remaining connection slots",
)
"""Beginnings of messages to clients of a stopping server, which are no cause."""


def end_of(log: Path) -> int:
    """Return the log's length in bytes, 0 if there is none."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def lines_since(log: Path, offset: int) -> list[str]:
    """Return the log's lines after *offset*, at most the last 64 kB of them."""
    try:
        with log.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            begin = offset if offset <= length else 0  # the log was truncated
            file.seek(max(begin, length - _MOST_BYTES))
            written = file.read()
    except OSError:
        return []
    return written.decode(errors="replace").splitlines()


def fatal_line(lines: Iterable[str]) -> str | None:
    """Return the message that explains best why the server stopped, as ``PANIC: message``.

    A PANIC comes first, then the last FATAL that is a cause, then the last one that is none.
    """
    found = [match.groups() for match in map(_LINE.search, lines) if match]
    panics = [entry for entry in found if entry[0] == "PANIC"]
    causes = [entry for entry in found if not entry[1].startswith(_CONSEQUENCES)]
    best = panics[:1] or causes[-1:] or found[-1:]
    return f"{best[0][0]}: {best[0][1].strip()}" if best else None


def tells_full_disk(lines: Iterable[str]) -> bool:
    """Return whether the server could not write because its disk was full."""
    return any(words in line for line in lines for words in _NO_SPACE)


def tells_stop_request(lines: Iterable[str]) -> bool:
    """Return whether the server was asked to stop, as by `raysync db stop`."""
    return any(words in line for line in lines for words in _STOP_REQUESTS)


def is_full(directory: Path, below_bytes: int = FULL_BELOW_BYTES) -> bool:
    """Return whether the disk of *directory* has no room left for those who are not root."""
    try:
        room = os.statvfs(directory)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < below_bytes
