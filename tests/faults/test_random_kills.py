"""SIGKILL to workers and the driver at random moments: the archive stays correct."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from tests.cluster.guilds import MESSAGES, ServeTenant, wide_world
from tests.cluster.installation import Installation
from tests.cluster.midrun import actor_processes, kill_all, pages_read
from tests.cluster.ray_head import RayHead
from tests.cluster.waiting import wait_until

KILLS = int(os.environ.get("RAYSYNC_KILLS", "100"))
CHANNELS, PAGES = 40, 60
LONGEST_S = 1.5


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_hundred_kills_lose_nothing(
    installation: Installation, ray_head: RayHead, home: Path, serve_tenant: ServeTenant
) -> None:
    dice = random.Random(20261125)
    installation, emulator = serve_tenant(
        installation,
        wide_world(CHANNELS, PAGES),
        SYNC_RETRY_DELAY_MS="50",
        SYNC_MAX_CHANNEL_WORKERS="3",
    )
    killed = {"worker": 0, "driver": 0}
    while sum(killed.values()) < KILLS:
        with installation.starting("--tenant", "takaro") as program:
            before = pages_read(emulator)
            wait_until(lambda: program.poll() is not None or pages_read(emulator) > before, 60)  # noqa: B023
            _pause(dice)
            workers = actor_processes(ray_head, "ChannelSyncActor")
            killed["worker"] += kill_all(workers[:1])
            _pause(dice)
            if program.poll() is None:
                program.kill()
                killed["driver"] += 1
            program.communicate()
        if pages_read(emulator) >= CHANNELS * PAGES and program.returncode == 0:
            break

    last = installation.start("--tenant", "takaro")

    assert last.code == 0, last.err
    installation.assert_complete("takaro", emulator)
    read = sum(entry.route == MESSAGES and entry.status == 200 for entry in emulator.log.entries)
    print(f"{killed}, {read - CHANNELS * PAGES} of {CHANNELS * PAGES} pages read again")
    assert killed["worker"] + killed["driver"] >= min(KILLS, 20)


def _pause(dice: random.Random) -> None:
    """Any instant: what is waited for here is chance, not a condition."""
    threading.Event().wait(dice.uniform(0.0, LONGEST_S))
