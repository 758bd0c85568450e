"""The embedded server is started again if it died, and not if it was stopped."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from raysync.errors import DatabaseFullError, DatabaseUnavailableError, ServerDiskFullError
from raysync.store.server.embedded import (
    embedded_process_lives,
    embedded_running,
    start_embedded,
    stop_embedded,
)
from raysync.store.server.embedded_keeper import ServerKeeper
from tests.cluster.waiting import wait_until
from tests.small_disk import fill, make_room, small_disk, use_up_log_segments


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="raysync-home-") as directory:
        try:
            yield Path(directory)
        finally:
            stop_embedded(Path(directory))


@pytest.fixture
def disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="raysync-disk-") as directory:  # noqa: SIM117 in turn
        with small_disk(Path(directory)) as mounted:
            try:
                yield mounted
            finally:
                make_room(mounted)  # for its last checkpoint
                stop_embedded(mounted)


def _kill(home: Path, number: signal.Signals = signal.SIGKILL) -> None:
    pid = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, number)
    wait_until(lambda: not embedded_process_lives(home))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT])
def test_a_server_that_died_is_started_again(home: Path, number: signal.Signals) -> None:
    url = start_embedded(home)
    keeper = ServerKeeper(home)
    with closing(psycopg.connect(url)) as session:
        session.execute("SELECT 1")
        _kill(home, number)

        state = keeper.revive()

    assert not state.is_stopped
    assert embedded_running(home)
    assert start_embedded(home) == url


def test_a_server_that_lives_is_left_alone(home: Path) -> None:
    start_embedded(home)
    pid_file = (home / "postgres" / "postmaster.pid").read_text()

    assert ServerKeeper(home).revive().reason is None
    assert (home / "postgres" / "postmaster.pid").read_text() == pid_file


def test_a_server_that_was_stopped_stays_so_until_somebody_starts_it(home: Path) -> None:
    start_embedded(home)
    keeper = ServerKeeper(home)
    stop_embedded(home)

    assert keeper.revive().is_stopped
    assert not embedded_running(home)

    start_embedded(home)
    _kill(home)
    assert not keeper.revive().is_stopped, "that was no stop"
    assert embedded_running(home)


def test_a_server_that_cannot_be_started_says_so(home: Path) -> None:
    start_embedded(home)
    keeper = ServerKeeper(home)
    _kill(home)
    (home / "postgres" / "global" / "pg_control").unlink()

    with pytest.raises(DatabaseUnavailableError, match="pg_control"):
        keeper.revive()


def test_a_full_disk_is_named_with_the_line_of_the_log(disk: Path) -> None:
    url = start_embedded(disk)
    keeper = ServerKeeper(disk)
    fill(disk)
    use_up_log_segments(url)

    with pytest.raises(
        DatabaseFullError, match=r"full \(PANIC: .*No space left on device\)"
    ) as full:
        keeper.revive()
    assert f"Make room under {disk}/postgres" in str(full.value)
    assert not embedded_process_lives(disk), "one that hangs in its recovery bars the next"
    with pytest.raises(ServerDiskFullError, match="Make room there"):
        start_embedded(disk)
    make_room(disk)
    assert start_embedded(disk) == url


def test_a_full_disk_is_recognized_where_not_even_the_log_could_be_written(disk: Path) -> None:
    start_embedded(disk)
    keeper = ServerKeeper(disk)
    _kill(disk)
    fill(disk, leave=0)

    with pytest.raises(DatabaseFullError, match="disk is full"):
        keeper.revive()
    make_room(disk)
    assert keeper.revive().reason is None or embedded_running(disk)


def test_a_first_start_on_a_full_disk_is_a_sentence(disk: Path) -> None:
    fill(disk)

    with pytest.raises(ServerDiskFullError, match="Make room there"):
        start_embedded(disk)
