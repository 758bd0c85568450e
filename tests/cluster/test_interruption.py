"""Interrupted runs end cleanly and can be resumed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime

import psutil
import pytest

from raysync.emulator import Action, Emulator, FaultRule
from raysync.emulator.faults import FaultScript
from raysync.emulator.world.entities import Channel
from tests.cluster.guilds import MESSAGES, ServeTenant, wide_world
from tests.cluster.installation import Installation, ended
from tests.cluster.midrun import pages_read, wait_for_pages
from tests.cluster.waiting import wait_until

MOST_UNDONE = 3 * 5 * 100
"""Messages of pages that were being written: such a page is counted, and may be undone."""
STATUSES = "SELECT status FROM sync_jobs ORDER BY created_at"
_RAYSYNC_ON_ITS_TERMINAL = (
    "import fcntl, runpy, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "runpy.run_module('raysync', run_name='__main__', alter_sys=True)"
)
CLAIMED = "SELECT channel_id FROM sync_progress WHERE lease_expires_at IS NOT NULL"


def channels_of(emulator: Emulator) -> list[Channel]:
    (guild,) = emulator.world.guilds.values()
    return list(guild.every_channel())


PARTS = ("processed", "unchanged", "failed", "skipped", "left")


@pytest.mark.parametrize(  # SIGTERM is also what `ray job stop` sends: see test_job_submit
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_cancels_the_job_and_the_next_run_completes_it(
    installation: Installation, number: signal.Signals, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world())
    with installation.starting("--tenant", "takaro") as program:
        wait_for_pages(emulator, 40, program)
        program.send_signal(number)
        run = ended(program, 30)

    assert run.code == 130, run.err
    assert run.job["status"] == "cancelled"
    stored = len(installation.exported("takaro"))
    assert 0 < stored <= run.job["messages_processed"] <= stored + MOST_UNDONE
    assert "Traceback" not in run.err
    assert f"resume --job-id {run.job['job_id']}" in run.err
    job = run.job
    assert job["channels_total"] == sum(job[f"channels_{part}"] for part in PARTS)
    assert installation.query(STATUSES) == [{"status": "cancelled"}]
    assert installation.query(CLAIMED) == []

    assert installation.start("--tenant", "takaro").code == 0
    installation.assert_complete("takaro", emulator)


def test_a_closed_terminal_cancels_the_job_and_leaves_no_process(
    without_ray: Installation, serve_tenant: ServeTenant
) -> None:
    """The kernel sends SIGHUP to all that was started from it, Ray's processes too."""
    installation, emulator = serve_tenant(without_ray, wide_world())
    terminal, theirs = pty.openpty()
    os.set_blocking(terminal, False)
    with subprocess.Popen(
        [sys.executable, "-c", _RAYSYNC_ON_ITS_TERMINAL, "start", "--tenant", "takaro"],
        env={**installation.environ, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as program:
        try:
            os.close(theirs)
            wait_until(
                lambda: (
                    read_away(terminal) or program.poll() is not None or pages_read(emulator) >= 40
                ),
                60,
            )
            assert program.poll() is None
            started = psutil.Process(program.pid).children(recursive=True)
            os.close(terminal)
            code = program.wait(60)
        finally:
            program.kill()

    assert code == 130
    assert installation.query(STATUSES) == [{"status": "cancelled"}]
    assert installation.query(CLAIMED) == []
    wait_until(lambda: not any(process.is_running() for process in started), 30)


def read_away(terminal: int) -> None:
    """Read what was shown, for a terminal that nobody reads blocks whoever writes."""
    with suppress(BlockingIOError):
        while os.read(terminal, 65_536):
            pass


def test_a_second_interrupt_ends_it_at_once_and_costs_no_message(
    installation: Installation, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world())
    with installation.starting("--tenant", "takaro") as program:
        wait_for_pages(emulator, 40, program)
        program.send_signal(signal.SIGINT)
        program.send_signal(signal.SIGINT)
        run = ended(program, 15)

    assert run.code == 130, run.err
    assert "Traceback" not in run.err
    assert "resume --job-id" in run.err

    assert installation.start("--tenant", "takaro").code == 0
    installation.assert_complete("takaro", emulator)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_while_ray_starts_cancels_the_job_and_loses_nothing(
    without_ray: Installation, number: signal.Signals, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(without_ray, wide_world())
    with installation.starting("--tenant", "takaro") as program:
        started = psutil.Process(program.pid)
        wait_until(lambda: "gcs_server" in commands_below(started), 60)
        below = started.children(recursive=True)
        if number is signal.SIGINT:
            os.killpg(program.pid, number)  # as a terminal does
        else:
            program.send_signal(number)
        run = ended(program, 60)

    assert run.code == 130, run.err
    assert run.job["status"] == "cancelled"
    assert "Traceback" not in run.err
    assert "***" not in run.err, "no dump of Ray's"
    assert f"resume --job-id {run.job['job_id']}" in run.err
    assert installation.query(STATUSES) == [{"status": "cancelled"}]
    assert pages_read(emulator) > 0, "the driver reads while Ray starts"
    wait_until(lambda: not any(process.is_running() for process in below), 30)
    assert installation.start("--tenant", "takaro").code == 0
    installation.assert_complete("takaro", emulator)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_run_plans_cancels_the_job_without_ray(
    without_ray: Installation, number: signal.Signals, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(without_ray, wide_world(), 3.0)
    with installation.starting("--tenant", "takaro") as program:
        wait_until(lambda: emulator.counters.requests > 0, 60)
        program.send_signal(number)
        run = ended(program, 30)

    assert run.code == 130, run.err
    assert run.job["status"] == "cancelled"
    assert "Traceback" not in run.err
    assert "Ray dashboard" not in run.err
    assert installation.query(STATUSES) == [{"status": "cancelled"}]


def commands_below(process: psutil.Process) -> str:
    """The command lines of all that it has started."""
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return " ".join(" ".join(each.cmdline()) for each in process.children(recursive=True))
    return ""


@pytest.mark.slow  # tests/store/test_jobs.py refuses it, tests/cluster/test_submit.py with Ray
def test_a_second_run_for_the_tenant_is_refused_while_the_first_goes_on(
    installation: Installation, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world())
    slowly = installation.with_environ(
        SYNC_GLOBAL_REQUESTS_PER_SECOND="8"
    )  # while another one starts
    with slowly.starting("--tenant", "takaro") as program:
        wait_for_pages(emulator, 20, program)
        (running,) = installation.query("SELECT id::text FROM sync_jobs")

        refused = installation.start("--tenant", "takaro")
        first = ended(program)

    assert refused.code == 2
    assert refused.out == ""
    assert "Ray dashboard" not in refused.err, "it is told before Ray starts"
    assert f"Job {running['id']} has been syncing this tenant since" in refused.err
    assert "Traceback" not in refused.err
    assert first.code == 0, first.err
    installation.assert_complete("takaro", emulator)


def test_a_cancelled_job_is_resumed_with_all_it_was_begun_with(
    installation: Installation, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world())
    emulator.faults = FaultScript(FaultRule(Action.PASS, route=MESSAGES, delay_s=0.5))
    with installation.starting("--tenant", "takaro", "--full", "--since", "2015-01-01") as program:
        wait_for_pages(emulator, 40, program)
        (job,) = installation.query("SELECT id::text FROM sync_jobs")
        cancelled = installation.raysync("cancel", "--job-id", job["id"])
        run = ended(program, 30)
    assert cancelled.code == 0, cancelled.err
    assert run.code == 130, run.err
    assert installation.query(STATUSES) == [{"status": "cancelled"}]
    read = pages_read(emulator)
    emulator.faults = FaultScript()

    resumed = installation.raysync("resume", "--job-id", job["id"], "--json")

    assert resumed.code == 0, resumed.err
    assert resumed.job["job_id"] == job["id"]
    since = datetime(2015, 1, 1, tzinfo=UTC)
    assert installation.query("SELECT status, sync_type, start_date FROM sync_jobs") == [
        {"status": "completed", "sync_type": "full", "start_date": since}
    ]
    installation.assert_complete("takaro", emulator)
    whole = sum(-(-len(each.log.ids) // 100) for each in channels_of(emulator))
    assert pages_read(emulator) < whole + read, "what was read is not read again"
    actions = [each["action"] for each in installation.query("SELECT action FROM audit_log")]
    assert actions == ["start", "cancel", "resume"]

    again = installation.raysync("resume", "--job-id", job["id"])
    assert again.code == 2
    assert "completed: there is nothing to resume" in again.err
    late = installation.raysync("cancel", "--job-id", job["id"])
    assert late.code == 2
    assert "completed already, so there is nothing to cancel" in late.err


@pytest.mark.slow  # a cancelled job is resumed, and a killed driver's is gone on with, elsewhere
def test_a_job_whose_driver_was_killed_is_resumed(
    installation: Installation, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world())
    with installation.starting("--tenant", "takaro") as program:
        wait_for_pages(emulator, 40, program)
        program.kill()
        program.communicate()
    (job,) = installation.query("SELECT id::text, status FROM sync_jobs")
    assert job["status"] == "running", "nobody was left to say otherwise"

    resumed = installation.raysync("resume", "--job-id", job["id"], "--json")

    assert resumed.code == 0, resumed.err
    assert installation.query(STATUSES) == [{"status": "completed"}]
    installation.assert_complete("takaro", emulator)
