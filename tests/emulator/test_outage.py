"""The embedded server dies, or its disk is full, while the engine reads: without Ray."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from raysync.clock import SystemClock
from raysync.database import EmbeddedServer
from raysync.emulator import EmulatorThread, GuildSpec, Latency, Limits, World, generate_guild
from raysync.errors import DatabaseFullError, RaysyncError
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.store.archive.export import export_lines
from raysync.store.connection import locks
from raysync.store.connection.engine import open_engine
from raysync.store.jobs.lease import TenantHolder, hold_tenant
from raysync.store.server import migrate
from raysync.store.server.embedded import embedded_running, start_embedded, stop_embedded
from raysync.store.server.embedded_keeper import ServerKeeper
from raysync.sync.job.outcome import JobOutcome
from raysync.sync.outage import OutageWatch
from tests.archive import Archive
from tests.cluster.waiting import wait_until
from tests.outage_recorder import OutageRecorder
from tests.small_disk import fill, make_room, small_disk, use_up_log_segments
from tests.truth import assert_same_archive, expected_rows, exported_rows

TOKEN = "a-token"
FULL = SyncWindow(SyncType.FULL)
PAGES = "GET /channels/{channel_id}/messages"
PATIENCE_S = 90.0


class Run:
    """A tenant of an emulated guild, on an embedded server of its own."""

    def __init__(self, home: Path, emulator: EmulatorThread, world: World) -> None:
        self.home = home
        self.url = start_embedded(home)
        migrate.upgrade(self.url)
        self._engine = open_engine(self.url, pool_size=12, application_name="raysync tests")
        self._served = emulator
        self._world = world
        self.recorder = OutageRecorder()
        (self.guild_id,) = world.guilds

    async def to_its_end(
        self, strike: Callable[[], object], after_pages: int
    ) -> tuple[JobOutcome, RaysyncError | None]:
        """Run a job and *strike* in the middle of it, as a driver does that may start the server.

        Return how the job ended, and the reason for which the outage ended it.
        """
        served = self._served.__enter__()
        self.archive = Archive(self._engine, served.url, TOKEN, 100)
        await self.archive.add(self.guild_id)
        assert self.archive.tenant is not None
        server = EmbeddedServer(ServerKeeper(self.home))
        watch = OutageWatch(SystemClock(), self.recorder, server, PATIENCE_S)
        async with TenantHolder(self._engine, watch.note).hold(self.archive.tenant.id):
            running = asyncio.create_task(self.archive.run(FULL))
            watching = asyncio.create_task(watch.watch())
            while served.counters.by_route[PAGES] < after_pages:
                await asyncio.sleep(0.01)
            assert not running.done()
            await asyncio.to_thread(strike)
            await asyncio.wait([running, watching], return_when=asyncio.FIRST_COMPLETED)
            reason = watching.result() if watching.done() else None
            if reason is not None and self.archive.job is not None:
                self.archive.job.cancel(reason)
            end = await running
            while self.recorder.outages and not self.recorder.lasted_s and not watching.done():
                await asyncio.sleep(0.01)
            reason = watching.result() if watching.done() else reason
            watching.cancel()
        return end, reason

    async def again(self) -> JobStatus:
        """Run another job, as the next driver does."""
        assert self.archive.tenant is not None
        async with hold_tenant(self._engine, self.archive.tenant.id):
            return (await self.archive.run(FULL)).status

    async def assert_complete(self) -> None:
        assert self.archive.tenant is not None
        async with aclosing(export_lines(self._engine, self.archive.tenant.id)) as blocks:
            lines = [line async for block in blocks for line in block.decode().splitlines()]
        truth = expected_rows(self._world.truth(self.guild_id, token=TOKEN))
        assert_same_archive(truth, list(exported_rows(lines)))

    async def close(self) -> None:
        self._served.__exit__(None, None, None)
        await self._engine.dispose()


@asynccontextmanager
async def run_on(home: Path) -> AsyncIterator[Run]:
    world = World(generate_guild(GuildSpec.uniform(8, 750)))
    world.add_bot(TOKEN)
    emulator = EmulatorThread(world, limits=Limits.off(), latency=Latency(0.02))
    try:
        run = Run(home, emulator, world)
        yield run
        await run.close()
    finally:
        make_room(home)
        stop_embedded(home)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver looks at its connection at once."""
    monkeypatch.setattr(locks, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(locks, "RETAKE_EVERY_S", 0.05)


async def test_a_killed_embedded_server_is_started_again_by_the_run_and_nothing_is_lost() -> None:
    with tempfile.TemporaryDirectory(prefix="raysync-home-") as directory:
        home = Path(directory)

        def kill() -> None:
            pid = (home / "postgres" / "postmaster.pid").read_text().splitlines()[0]
            os.kill(int(pid), signal.SIGKILL)

        async with run_on(home) as run:
            end, reason = await run.to_its_end(kill, after_pages=20)

            assert (end.status, reason) == (JobStatus.COMPLETED, None)
            assert run.recorder.outages
            assert len(run.recorder.lasted_s) == 1
            await run.assert_complete()


async def test_a_full_disk_under_the_embedded_server_ends_the_run_and_is_named() -> None:
    with tempfile.TemporaryDirectory(prefix="raysync-disk-") as directory:  # noqa: SIM117 in turn
        with small_disk(Path(directory)) as disk:
            async with run_on(disk) as run:

                def fill_up() -> None:
                    fill(disk)
                    use_up_log_segments(run.url)

                end, reason = await run.to_its_end(fill_up, after_pages=20)

                assert isinstance(reason, DatabaseFullError)
                assert "No space left on device" in str(reason)  # of a statement, or of the log
                assert end.status is JobStatus.FAILED
                (trouble,) = end.troubles  # of the watch, or of a statement that was refused first
                assert "No space left on device" in trouble.message
                make_room(disk)
                start_embedded(disk)
                assert await run.again() is JobStatus.COMPLETED
                await run.assert_complete()


async def test_a_server_that_somebody_stopped_is_not_started_under_his_hands() -> None:
    with tempfile.TemporaryDirectory(prefix="raysync-home-") as directory:
        home = Path(directory)
        async with run_on(home) as run:
            told = run.recorder.outages

            def stop_for_a_while() -> None:
                stop_embedded(home)
                wait_until(lambda: told and told[-1].is_stopped, 60)
                assert not embedded_running(home)
                start_embedded(home)

            end, reason = await run.to_its_end(stop_for_a_while, after_pages=20)

            assert (end.status, reason) == (JobStatus.COMPLETED, None)
            await run.assert_complete()
