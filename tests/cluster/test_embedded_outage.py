"""A run restarts an embedded server that dies, or reports why it cannot."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raysync.store.server import migrate
from raysync.store.server.embedded import start_embedded, stop_embedded
from tests.cluster.guilds import served_tenant, wide_world
from tests.cluster.installation import Ended, Installation, ended, environ_of
from tests.cluster.midrun import wait_for_pages
from tests.cluster.ray_head import RayHead
from tests.small_disk import fill, make_room, small_disk, use_up_log_segments


@contextmanager
def embedded(home: Path, head: RayHead) -> Iterator[Installation]:
    """Return raysync with the embedded server of *home*, on the shared Ray head."""
    try:
        url = start_embedded(home)
        migrate.upgrade(url)
        installation = Installation(url, environ_of(url, str(home)))
        yield installation.with_environ(
            RAYSYNC_DATABASE_URL=None, RAY_ADDRESS=head.address, SYNC_MAX_CHANNEL_WORKERS="2"
        )
    finally:
        make_room(home)
        stop_embedded(home)


@contextmanager
def struck(
    installation: Installation, strike: Callable[[], object]
) -> Iterator[tuple[Installation, Ended, Callable[[], None]]]:
    """Call *strike* in the middle of a run; return its end and a check of the archive."""
    with served_tenant(installation, wide_world()) as (installation, emulator):
        with installation.starting("--tenant", "takaro") as program:
            wait_for_pages(emulator, 40, program)
            strike()
            run = ended(program)
        yield installation, run, lambda: installation.assert_complete("takaro", emulator)


def test_a_full_disk_ends_the_run_with_a_sentence_and_the_next_one_completes_it(
    ray_head: RayHead,
) -> None:
    with tempfile.TemporaryDirectory(prefix="rf-") as directory:  # noqa: SIM117 in turn
        with small_disk(Path(directory)) as disk, embedded(disk, ray_head) as installation:

            def fill_up() -> None:
                fill(disk)
                use_up_log_segments(installation.database_url)

            with struck(installation, fill_up) as (own, run, assert_complete):
                assert run.code == 1, run.err
                assert "Traceback" not in run.err
                assert run.job["status"] == "failed"
                (error,) = [error["error"] for error in run.job["errors"]]
                assert "disk is full" in error
                if "PANIC: " in error:  # else a statement was refused before the server ended
                    assert f"Make room under {disk}/postgres" in error
                    assert "PostgreSQL has not answered since" in run.err
                make_room(disk)

                again = own.start("--tenant", "takaro")

                assert again.code == 0, again.err
                assert_complete()


@pytest.mark.slow
def test_a_killed_server_is_started_again_and_the_run_completes(ray_head: RayHead) -> None:
    with tempfile.TemporaryDirectory(prefix="rf-") as directory:
        home = Path(directory)

        def kill() -> None:
            pid = (home / "postgres" / "postmaster.pid").read_text().splitlines()[0]
            os.kill(int(pid), signal.SIGKILL)

        with (
            embedded(home, ray_head) as installation,
            struck(installation, kill) as (_, run, assert_complete),
        ):
            assert run.code == 0, run.err
            assert "PostgreSQL answers again" in run.err
            assert_complete()
