"""One hour of faults at twenty times the speed: no message is lost, and nothing leaks."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import psutil
import pytest

from raysync.emulator import GuildSpec, World, generate_guild
from tests.cluster.guilds import SPEED, ServeTenant
from tests.cluster.installation import TOKEN, Ended, Installation, ended
from tests.cluster.midrun import actor_processes
from tests.cluster.ray_head import RayHead
from tests.cluster.waiting import wait_until
from tests.faults.cells import FAULTS, Scene

LASTS_S = float(os.environ.get("RAYSYNC_SOAK_S", str(3_600 / SPEED)))
BEARABLE = (
    "workers killed", "tracker killed", "governor killed", "database crashed",
    "Discord answers 503", "Discord resets",
)  # fmt: skip
"""What a run survives by itself."""
ACTORS = ("ChannelSyncActor", "ProgressTracker", "RateLimitGovernor")
OPEN = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'raysync%%'"


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_an_hour_of_faults(
    installation: Installation, ray_head: RayHead, home: Path, serve_tenant: ServeTenant
) -> None:
    dice = random.Random(20261125)
    spec = GuildSpec(
        text_channels=400, text_messages=20_000, threads=2_000, messages_per_thread=8, archived=0.5,
    )  # fmt: skip
    world = World(generate_guild(spec))
    world.add_bot(TOKEN)
    struck: Counter[str] = Counter()
    peaks_mb: list[float] = []
    installation, emulator = serve_tenant(
        installation,
        world,
        SYNC_RETRY_DELAY_MS="50",
        SYNC_MAX_CHANNEL_WORKERS="2",
        SYNC_GLOBAL_REQUESTS_PER_SECOND=str(40 * SPEED),
    )
    until_s = time.monotonic() + LASTS_S
    while time.monotonic() < until_s:
        with installation.starting("--tenant", "takaro", "--full") as program:
            scene = Scene(installation, emulator, ray_head, home, program)
            with ThreadPoolExecutor(1) as reader:  # its result is more than a pipe holds
                ending = reader.submit(ended, program, 600)
                peaks_mb.append(_strike(scene, ending, dice, struck))
                run = ending.result()
        assert "Traceback" not in run.err
        # one that meets an outage before anything was read says so at once, with 1
        assert run.code in (0, 1, 3), run.err

    last = installation.start("--tenant", "takaro")

    assert last.code == 0, last.err
    installation.assert_complete("takaro", emulator)
    channels = len(installation.query("SELECT 1 FROM channels"))
    rows = installation.query("SELECT count(*) FROM messages")[0]["count"]
    print(
        f"{sum(struck.values())} faults in {len(peaks_mb)} runs: {dict(struck)}; "
        f"{channels} channels, {rows} messages; workers' peaks {peaks_mb[0]:.0f} MB in the "
        f"first run, {peaks_mb[-1]:.0f} MB in the last"
    )
    wait_until(lambda: not any(actor_processes(ray_head, each) for each in ACTORS), 120)
    wait_until(lambda: installation.query(OPEN)[0]["count"] == 0, 60)


def _strike(
    scene: Scene, ending: Future[Ended], dice: random.Random, struck: Counter[str]
) -> float:
    """Fault after fault until the run ends; the most memory that a worker took meanwhile."""
    peak_mb = 0.0
    while not ending.done():
        threading.Event().wait(dice.uniform(1.0, 4.0))
        peak_mb = max([peak_mb, *map(_megabytes, actor_processes(scene.head, ACTORS[0]))])
        if not ending.done():
            fault = dice.choice(BEARABLE)
            FAULTS[fault](scene)
            struck[fault] += 1
        if sum(struck.values()) % 8 == 7:
            wait([ending])  # some runs are to reach their end
    return peak_mb


def _megabytes(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 1e6
    except psutil.NoSuchProcess:
        return 0.0
