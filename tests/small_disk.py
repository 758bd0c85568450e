"""A disk that can be filled up, for tests that are run by root: a tmpfs of some megabytes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

SIZE_MB = 140
"""A new server, all tables, and some segments of its write-ahead log."""
_LEFT_FOR_LOGS = 256 * 1024
_FILLER = "filler"


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Mount a small disk on *directory*. Skip the test where that is not possible."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0700", "none", str(directory)]
    mounted = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True)
    if not mounted or mounted.returncode != 0:
        pytest.skip("only root may mount a small disk, and not in every container")
    try:
        yield directory
    finally:
        make_room(directory)
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(disk: Path, leave: int = _LEFT_FOR_LOGS) -> None:
    """Leave room for lines in a log, and for no segment of the write-ahead log."""
    with (disk / _FILLER).open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(1024 * 1024))
            file.flush()
    os.truncate(disk / _FILLER, (disk / _FILLER).stat().st_size - leave)


def make_room(disk: Path) -> None:
    """Undo `fill`."""
    (disk / _FILLER).unlink(missing_ok=True)


def use_up_log_segments(url: str) -> None:
    """Have the server need another segment of its write-ahead log, again and again."""
    with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as session:
        for _ in range(100):
            session.execute("SELECT pg_switch_wal()")
            session.execute("SELECT pg_logical_emit_message(false, 'tests', 'x', true)")
