"""`raysync schedule` as a program, with real runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from raysync.emulator import Emulator
from tests.cluster.guilds import ServeTenant, tiny_world
from tests.cluster.installation import RUN_LIMIT_S, Ended, Installation, ended
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.timeout(300)  # several runs, one after another

SEVERAL_RUNS_S = 240
TICKS = "SELECT details FROM audit_log WHERE action = 'schedule' ORDER BY id"
STARTS = "SELECT status FROM sync_jobs ORDER BY created_at"


@pytest.fixture
def tenant(installation: Installation, serve_tenant: ServeTenant) -> tuple[Installation, Emulator]:
    return serve_tenant(installation, tiny_world())


@contextmanager
def scheduling(installation: Installation, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    program = subprocess.Popen(
        [sys.executable, "-m", "raysync", "schedule", *arguments],
        env=installation.environ,
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
    tenant: tuple[Installation, Emulator],
) -> None:
    installation, emulator = tenant
    schedule = ("--every", "1s", "--jitter", "0", "--tenant", "takaro")
    with scheduling(installation, *schedule) as one, scheduling(installation, *schedule) as other:
        wait_until(lambda: len(installation.query(TICKS)) >= 2, SEVERAL_RUNS_S)
        for each in (one, other):
            each.send_signal(signal.SIGTERM)
        ends = [ended(each) for each in (one, other)]

    assert [end.code for end in ends] == [0, 0], ends
    ticks = [each["details"] for each in installation.query(TICKS)]
    assert {tick["schedule"] for tick in ticks} == {"start --tenant takaro"}
    assert {tick["exit_code"] for tick in ticks} == {0}, ends
    assert len({tick["tick"] for tick in ticks}) == len(ticks)
    told = "".join(end.err for end in ends)
    assert told.count("The run is completed") == len(ticks)
    assert "has been syncing this tenant" not in told, "neither ran into the other"
    statuses = {each["status"] for each in installation.query(STARTS)}
    assert statuses <= {"completed", "cancelled"}
    installation.assert_complete("takaro", emulator)


@pytest.mark.slow
def test_ctrl_c_ends_the_run_under_way_and_the_run_is_due_again(
    tenant: tuple[Installation, Emulator],
) -> None:
    installation, _ = tenant
    with scheduling(installation, "--every", "1h", "--tenant", "takaro") as program:
        wait_until(lambda: installation.query(STARTS), RUN_LIMIT_S)
        program.send_signal(signal.SIGINT)
        end: Ended = ended(program)

    assert end.code == 130
    assert "Traceback" not in end.err
    assert installation.query(STARTS) == [{"status": "cancelled"}]
    assert installation.query(TICKS) == []
