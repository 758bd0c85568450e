"""One fault in one phase of a run, and its result."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from raysync.emulator import Action, Emulator, FaultRule
from raysync.emulator.faults import FaultScript
from raysync.store.server.embedded import start_embedded, stop_embedded
from tests.cluster.guilds import MESSAGES, served_tenant, wide_world
from tests.cluster.installation import Ended, Installation, ended
from tests.cluster.midrun import actor_processes, kill_all, pages_read
from tests.cluster.ray_head import RayHead
from tests.cluster.waiting import wait_until

CHANNELS, PAGES = 16, 8
AWAY_S = 5.0
"""Duration of an outage in seconds, longer than all retries of a request."""
GUILD = "GET /guilds/{guild_id}/channels"

_FILL_UP = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER no_room BEFORE INSERT ON messages EXECUTE FUNCTION no_room();
"""
_MAKE_ROOM = "DROP TRIGGER no_room ON messages; DROP FUNCTION no_room()"


@dataclass(slots=True)
class Scene:
    """Run in progress."""

    installation: Installation
    emulator: Emulator
    head: RayHead
    home: Path  #: directory of the scene's own database server
    program: subprocess.Popen[str]

    def count(self, statement: str) -> int:
        """Return the count of a query; 0 while the server is down."""
        try:
            (row,) = self.installation.query(statement)
        except psycopg.OperationalError:
            return 0
        return int(row["count"])


@dataclass(frozen=True, slots=True)
class Cell:
    """Result of a run with a fault."""

    fault: str
    phase: str
    took_s: float  #: from the run's start to the archive's completion
    repeated: int  #: pages that were read more than once
    went_on: bool  #: the same run survived; otherwise it ended cleanly and was resumed


PHASES: dict[str, Callable[[Scene], bool]] = {
    "planning": lambda at: at.emulator.counters.by_route[GUILD] > 0,
    "dispatch": lambda at: pages_read(at.emulator) > 0,
    "page": lambda at: pages_read(at.emulator) >= 40,
    "commit": lambda at: at.count("SELECT count(*) FROM messages") >= 3_000,
    "flush": lambda at: at.count("SELECT count(*) FROM channel_sync_jobs") >= CHANNELS,
    "shutdown": lambda at: pages_read(at.emulator) >= CHANNELS * PAGES,
}


def _kill(actor: str) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        kill_all(actor_processes(scene.head, actor))  # none, where the run has just ended

    return strike


def _signal(number: signal.Signals) -> Callable[[Scene], None]:
    return lambda scene: scene.program.send_signal(number)


def _restart_database(scene: Scene) -> None:
    _crash(scene.home)
    start_embedded(scene.home)


def _take_database_away(scene: Scene) -> None:
    stop_embedded(scene.home)
    time.sleep(AWAY_S)
    start_embedded(scene.home)


def _crash(home: Path) -> None:
    """Stop the server like a power failure: without a checkpoint or notice to clients."""
    (pid_file,) = home.rglob("postmaster.pid")
    pid = int(pid_file.read_text().split()[0])
    with psycopg.connect(start_embedded(home), autocommit=True) as session:
        session.execute("CHECKPOINT")
    subprocess.run(["kill", "-QUIT", str(pid)], check=True)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 30)


def _spoil(action: Action, **how: float) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        rule = FaultRule(action, status=503, **how)  # type: ignore[arg-type]
        scene.emulator.faults = FaultScript(rule)
        time.sleep(AWAY_S)
        scene.emulator.faults = FaultScript()

    return strike


def _fill_disk(scene: Scene) -> None:
    with psycopg.connect(scene.installation.database_url) as session:
        session.execute(_FILL_UP)  # type: ignore[arg-type]
    wait_until(lambda: scene.program.poll() is not None, 60)
    with psycopg.connect(scene.installation.database_url) as session:
        session.execute(_MAKE_ROOM)  # type: ignore[arg-type]


FAULTS: dict[str, Callable[[Scene], None]] = {
    "workers killed": _kill("ChannelSyncActor"),
    "tracker killed": _kill("ProgressTracker"),
    "governor killed": _kill("RateLimitGovernor"),
    "driver killed": _signal(signal.SIGKILL),
    "driver ended": _signal(signal.SIGTERM),
    "database crashed": _restart_database,
    "database away": _take_database_away,
    "disk full": _fill_disk,
    "Discord answers 503": _spoil(Action.ANSWER),
    "Discord resets": _spoil(Action.RESET),
    "Discord hangs": _spoil(Action.HANG, delay_s=2.0),
}


@contextmanager
def own_database(directory: Path) -> Iterator[str]:
    """Start a server that a test may crash."""
    try:
        yield start_embedded(directory)
    finally:
        stop_embedded(directory)


def run_cell(fault: str, phase: str, installation: Installation, head: RayHead, home: Path) -> Cell:
    """Cause a fault in a phase, complete the sync, and compare the archive with the truth."""
    world = wide_world(CHANNELS, PAGES)
    with served_tenant(installation, world, SYNC_RETRY_DELAY_MS="50") as (installation, emulator):
        began_s = time.monotonic()
        with installation.starting("--tenant", "takaro") as program:
            scene = Scene(installation, emulator, head, home, program)
            wait_until(lambda: program.poll() is not None or PHASES[phase](scene), 60)
            assert program.poll() is None, program.communicate()
            FAULTS[fault](scene)
            run = ended(program)
        _assert_clean(run)
        if run.code != 0:
            _resume(installation)
        took_s = time.monotonic() - began_s
        installation.assert_complete("takaro", emulator)
        assert installation.query("SELECT count(*) FROM sync_jobs WHERE status = 'running'") == [
            {"count": 0}
        ]
        assert installation.query(
            "SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL"
        ) == [{"count": 0}]
        read = sum(
            entry.route == MESSAGES and entry.status == 200 for entry in emulator.log.entries
        )
        return Cell(fault, phase, took_s, read - CHANNELS * PAGES, run.code == 0)


def _assert_clean(run: Ended) -> None:
    """Assert a known exit code and no traceback."""
    assert "Traceback" not in run.err
    assert run.code in (0, 1, 130, -signal.SIGKILL), run.err + run.out


def _resume(installation: Installation) -> None:
    (job,) = installation.query("SELECT id::text FROM sync_jobs")
    resumed = installation.raysync("resume", "--job-id", job["id"], "--json")
    assert resumed.code == 0, resumed.err
