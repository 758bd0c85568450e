"""Lock that excludes `db stop` while other commands use the embedded server.

A command that must not be interrupted holds a shared lock on a file from its beginning to its end;
`db stop` holds it alone. The kernel releases it when its process ends, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from raysync.errors import DatabaseUnavailableError

_FILE: Final = "postgres.use"
_LOOK_EVERY_S: Final = 0.05
STOPPED_WITHIN_S: Final = 240.0
"""Longest wait in seconds for a server that is stopping: its last checkpoint may take long."""


@contextmanager
def in_use(home: Path) -> Iterator[None]:
    """Keep `db stop` from stopping the server of *home*. Wait first for one that is under way.

    Raises:
        DatabaseUnavailableError: it does not end, or the lock's file cannot be made.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _open(home)
    except OSError as error:
        raise DatabaseUnavailableError(
            f"The embedded PostgreSQL cannot use {error.filename or home}: "
            f"{error.strerror or error}. "
            "Set RAYSYNC_HOME to a directory of your own, or RAYSYNC_DATABASE_URL."
        ) from None
    try:
        deadline_s = time.monotonic() + STOPPED_WITHIN_S
        while not _locks(descriptor, fcntl.LOCK_SH):
            if time.monotonic() > deadline_s:
                raise DatabaseUnavailableError(
                    f"Another command has been stopping the embedded PostgreSQL under {home} for "
                    f"{STOPPED_WITHIN_S:.0f} s: check whether it hangs, then run this again."
                )
            time.sleep(_LOOK_EVERY_S)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unused(home: Path) -> Iterator[bool]:
    """Keep commands from beginning to use the server. Return False if one uses it already."""
    try:
        descriptor = _open(home)
    except OSError:  # no such home; or a full disk, where a server must be stopped all the same
        yield True
        return
    try:
        yield _locks(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _open(home: Path) -> int:
    return os.open(home / _FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)  # no child has it


def _locks(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
