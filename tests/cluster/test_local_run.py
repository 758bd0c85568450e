"""Local runs ask Discord before there is a Ray, which starts only if something is to be read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysync.emulator import Emulator
from tests.cluster.arrivals import most_in_a_second
from tests.cluster.guilds import ServeTenant, wide_world
from tests.cluster.installation import Ended, Installation
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.alone

MOST_PER_SECOND = 50


def assert_within_limits(emulator: Emulator) -> None:
    """Assert that no request was refused, and no second held more than Discord allows."""
    assert {entry.status for entry in emulator.log.entries} == {200}
    at_s = [entry.at_s for entry in emulator.log.entries]
    assert most_in_a_second(at_s) <= MOST_PER_SECOND


def sessions(directory: Path) -> list[Path]:
    """Return the folders that Ray has made: one for each start."""
    return [path for path in directory.glob("ray/session_*") if not path.is_symlink()]


def test_a_run_plans_before_ray_is_there_and_an_unchanged_guild_needs_no_ray(
    without_ray: Installation, serve_tenant: ServeTenant, short_path: Path
) -> None:
    installation, emulator = serve_tenant(
        without_ray.with_environ(RAY_TMPDIR=str(short_path)), wide_world(16, 3)
    )
    with installation.starting("--tenant", "takaro") as program:
        wait_until(lambda: program.poll() is not None or bool(emulator.log.entries), 60)
        at_first = len(sessions(short_path))
        out, err = program.communicate(timeout=100)

    assert program.returncode == 0, err
    first = Ended(program.returncode, out, err)
    assert at_first == 0, "Ray starts once something is to be read"
    assert len(sessions(short_path)) == 1
    installation.assert_complete("takaro", emulator)
    assert_within_limits(emulator)
    counted = first.job["parallel_stats"]["total_api_calls"]
    assert counted == emulator.counters.requests, "the planner's requests are counted, too"

    requests = emulator.counters.requests
    unchanged = installation.start("--tenant", "takaro")

    assert unchanged.code == 0, unchanged.err
    assert len(sessions(short_path)) == 1, "nothing is to be read"
    assert "Ray dashboard" not in unchanged.err
    assert unchanged.job["channels_processed"] == 0
    assert unchanged.job["channels_unchanged"] == first.job["channels_processed"]
    assert unchanged.job["parallel_stats"]["total_api_calls"] == (
        emulator.counters.requests - requests
    )
    assert unchanged.job.keys() == first.job.keys()
    stored = installation.query(
        "SELECT status, result IS NOT NULL AS has_result FROM sync_jobs"
        " ORDER BY created_at DESC LIMIT 1"
    )
    assert stored == [{"status": "completed", "has_result": True}]
    assert_within_limits(emulator)


def test_the_driver_reads_until_workers_continue_its_channels(
    without_ray: Installation, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(without_ray, wide_world(24, 16))

    run = installation.start("--tenant", "takaro")

    assert run.code == 0, run.err
    installation.assert_complete("takaro", emulator)
    assert_within_limits(emulator)
    counted = installation.query(
        "SELECT worker_id, sum(calls)::int AS calls FROM job_api_calls"
        " WHERE position('/messages' IN route) > 0 GROUP BY 1"
    )
    pages = {row["worker_id"]: row["calls"] for row in counted}
    assert pages.keys() == {"driver", *(f"worker-{number}" for number in range(len(pages) - 1))}
    assert len(pages) > 1
    assert min(pages.values()) > 0
    assert run.job["parallel_stats"]["total_api_calls"] == emulator.counters.requests


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Return a folder whose path is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)
