"""`raysync schedule` as a program, with real runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from raysync.emulator import Emulator, GuildSpec, World, generate_guild
from tests.cluster.guilds import served
from tests.cluster.installation import RUN_LIMIT_S, TOKEN, Ended, Installation, ended
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.timeout(300)  # several runs, one after another

SEVERAL_RUNS_S = 240
TICKS = "SELECT details FROM audit_log WHERE action = 'schedule' ORDER BY id"
STARTS = "SELECT status FROM sync_jobs ORDER BY created_at"


@pytest.fixture
def here(installation: Installation) -> Iterator[tuple[Installation, Emulator]]:
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    with served(world) as emulator:
        own = installation.for_emulator(emulator)
        own.add_tenant("takaro", guild_id)
        yield own, emulator


@contextmanager
def scheduling(here: Installation, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    program = subprocess.Popen(
        [sys.executable, "-m", "raysync", "schedule", *arguments],
        env=here.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        try:
            yield program
        finally:
            program.kill()


def test_two_schedulers_make_each_run_once_and_sigterm_ends_them_cleanly(
    here: tuple[Installation, Emulator],
) -> None:
    installation, emulator = here
    schedule = ("--every", "1s", "--jitter", "0", "--tenant", "takaro")
    with scheduling(installation, *schedule) as one, scheduling(installation, *schedule) as other:
        wait_until(lambda: len(installation.query(TICKS)) >= 2, SEVERAL_RUNS_S)
        for each in (one, other):
            each.send_signal(signal.SIGTERM)
        ends = [ended(each) for each in (one, other)]

    assert [each.code for each in ends] == [0, 0], ends
    ticks = [each["details"] for each in installation.query(TICKS)]
    assert {each["schedule"] for each in ticks} == {"start --tenant takaro"}
    assert {each["exit_code"] for each in ticks} == {0}
    assert len({each["tick"] for each in ticks}) == len(ticks)
    told = "".join(each.err for each in ends)
    assert told.count("The run is completed") == len(ticks)
    assert "has been syncing this tenant" not in told, "neither ran into the other"
    statuses = {each["status"] for each in installation.query(STARTS)}
    assert statuses <= {"completed", "cancelled"}
    installation.assert_complete("takaro", emulator)


@pytest.mark.slow
def test_ctrl_c_ends_the_run_under_way_and_the_run_is_due_again(
    here: tuple[Installation, Emulator],
) -> None:
    installation, _ = here
    with scheduling(installation, "--every", "1h", "--tenant", "takaro") as program:
        wait_until(lambda: installation.query(STARTS), RUN_LIMIT_S)
        program.send_signal(signal.SIGINT)
        end: Ended = ended(program)

    assert end.code == 130
    assert "Traceback" not in end.err
    assert installation.query(STARTS) == [{"status": "cancelled"}]
    assert installation.query(TICKS) == []
