"""Small tmpfs that a test can fill up; needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

SIZE_MB = 140
"""Size in MB: room for a new server, all tables, and a few segments of its WAL."""
_LEFT_FOR_LOGS = 256 * 1024
_FILLER = "filler"


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Mount a small disk on *directory*. Skip the test if that is not possible."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0700", "none", str(directory)]
    mounted = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True)
    if not mounted or mounted.returncode != 0:
        pytest.skip("mounting a tmpfs needs root and a container that allows it")
    try:
        yield directory
    finally:
        make_room(directory)
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(disk: Path, leave: int = _LEFT_FOR_LOGS) -> None:
    """Fill the disk, with room left for log lines but not for a segment of the WAL."""
    with (disk / _FILLER).open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(1024 * 1024))
            file.flush()
    os.truncate(disk / _FILLER, (disk / _FILLER).stat().st_size - leave)


def make_room(disk: Path) -> None:
    """Undo `fill`."""
    (disk / _FILLER).unlink(missing_ok=True)


def use_up_log_segments(url: str) -> None:
    """Make the server request new segments of its WAL repeatedly."""
    with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as session:
        for _ in range(100):
            session.execute("SELECT pg_switch_wal()")
            session.execute("SELECT pg_logical_emit_message(false, 'tests', 'x', true)")
