"""Killed processes: no message is lost, and none is stored twice."""

from __future__ import annotations

import pytest

from tests.cluster.guilds import ServeTenant, wide_world
from tests.cluster.installation import Installation, ended
from tests.cluster.midrun import actor_processes, kill_all, pages_read, wait_for_pages
from tests.cluster.ray_head import RayHead
from tests.cluster.waiting import wait_until

JOBS = "SELECT status, error FROM sync_jobs ORDER BY created_at"


def test_a_killed_driver_leaves_a_failed_job_and_the_next_run_goes_on_there(
    installation: Installation, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world())
    with installation.starting("--tenant", "takaro") as program:
        wait_for_pages(emulator, 40, program)
        program.kill()
    before = pages_read(emulator)

    second = installation.start("--tenant", "takaro")

    assert second.code == 0, second.err
    installation.assert_complete("takaro", emulator)
    jobs = installation.query(JOBS)
    assert jobs[0] == {"status": "failed", "error": "its driver vanished"}
    assert jobs[1]["status"] == "completed"
    assert pages_read(emulator) - before < before + 128, "it began from the start"


def test_killed_workers_are_replaced_and_their_channels_read_on(
    installation: Installation, ray_head: RayHead, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world())
    with installation.starting("--tenant", "takaro", "--workers", "4") as program:
        for pages in (30, 70):
            wait_for_pages(emulator, pages, program)
            workers = actor_processes(ray_head, "ChannelSyncActor")
            assert kill_all(workers[: (len(workers) + 1) // 2]) > 0
        run = ended(program)

    assert run.code == 0, run.err
    assert run.job["status"] == "completed"
    stored = len(installation.exported("takaro"))
    assert run.job["messages_processed"] == run.job["messages_added"] == stored
    installation.assert_complete("takaro", emulator)


@pytest.mark.parametrize(
    "actor", ["ProgressTracker", pytest.param("RateLimitGovernor", marks=pytest.mark.slow)]
)
def test_a_killed_singleton_comes_back_and_the_run_completes(
    installation: Installation, ray_head: RayHead, actor: str, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world())
    with installation.starting("--tenant", "takaro") as program:
        wait_for_pages(emulator, 30, program)
        assert kill_all(actor_processes(ray_head, actor)) == 1
        run = ended(program)

    assert run.code == 0, run.err
    assert run.job["channels_processed"] == 16
    assert run.job["messages_processed"] == len(installation.exported("takaro"))
    installation.assert_complete("takaro", emulator)


def test_a_driver_that_ended_leaves_no_worker_behind(
    installation: Installation, ray_head: RayHead, serve_tenant: ServeTenant
) -> None:
    installation, _ = serve_tenant(installation, wide_world(channels=4, pages=2))

    assert installation.start("--tenant", "takaro").code == 0

    wait_until(lambda: not actor_processes(ray_head, "ChannelSyncActor"), 10)
    wait_until(lambda: not actor_processes(ray_head, "ProgressTracker"), 10)
