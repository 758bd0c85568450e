"""Ray's control service (GCS) goes away during a run: for a while, or for good."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

from raysync.actors.control_service import GONE_AFTER_S
from raysync.emulator import Emulator
from tests.cluster.guilds import ServeTenant, wide_world
from tests.cluster.installation import Installation, ended, ray_environ
from tests.cluster.midrun import wait_for_pages
from tests.cluster.ray_head import RayHead, running_head
from tests.cluster.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

CHANNELS, PAGES = 12, 40
LATENCY_S = 0.3
"""Latency of a request: a run lasts for longer than the control service is away."""
AWAY_S = 12.0
ENDED_S = 40.0
"""Seconds from the run's notice to its end; later, Ray would end it without a result."""


@pytest.fixture
def durable_head() -> Iterator[RayHead]:
    """A head whose control service keeps its state on disk, as it does with Redis."""
    with tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as directory:
        storage = Path(directory) / "gcs"
        environ = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(storage)}
        with running_head(Path(directory), ray_environ() | environ) as head:
            yield head


@pytest.fixture
def run_there(
    durable_head: RayHead, without_ray: Installation, serve_tenant: ServeTenant
) -> tuple[Installation, Emulator]:
    return serve_tenant(
        without_ray,
        wide_world(CHANNELS, PAGES),
        LATENCY_S,
        RAY_ADDRESS=durable_head.address,
        SYNC_MAX_CHANNEL_WORKERS="3",
        SYNC_CHANNEL_BATCH_SIZE="4",
        SYNC_RETRY_DELAY_MS="50",
    )


def kill_control_service(head: RayHead) -> Callable[[], AbstractContextManager[object]]:
    """Kill the control service alone; return the function that starts it again.

    `ray start --block` would end the whole node, so it is suspended first.
    """
    root = psutil.Process(head.pid)
    (service,) = (
        each for each in root.children(recursive=True) if each.name().startswith("gcs_server")
    )
    command, environ = service.cmdline(), service.environ()
    root.suspend()
    service.kill()
    return lambda: started(command, environ)


@contextmanager
def started(command: list[str], environ: dict[str, str]) -> Iterator[None]:
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.kill()


def test_a_run_goes_on_after_the_control_service_was_away_for_12_s(
    durable_head: RayHead, run_there: tuple[Installation, Emulator]
) -> None:
    installation, emulator = run_there
    with installation.starting("--tenant", "takaro") as program:
        wait_for_pages(emulator, 40, program)
        restart = kill_control_service(durable_head)
        away_until_s = time.monotonic() + AWAY_S
        wait_until(lambda: program.poll() is not None or time.monotonic() > away_until_s)
        with restart():
            assert program.poll() is None, "the run ended while it was away"
            run = ended(program, 200)

    assert run.code == 0, run.err
    installation.assert_complete("takaro", emulator)


def test_without_its_control_service_a_run_ends_in_seconds(
    durable_head: RayHead,
    ray_head: RayHead,
    run_there: tuple[Installation, Emulator],
) -> None:
    installation, emulator = run_there
    with installation.starting("--tenant", "takaro") as program:
        wait_for_pages(emulator, 30, program)
        kill_control_service(durable_head)
        began_s = time.monotonic()
        run = ended(program, 150)
        took_s = time.monotonic() - began_s

    assert run.code == 1, run.err
    assert took_s < GONE_AFTER_S + ENDED_S
    assert run.job["status"] == "failed"
    assert "control service" in run.job["errors"][0]["error"]
    assert "resume --job-id" in run.err
    assert "Traceback" not in run.err
    (stored,) = installation.query("SELECT count(*) FROM messages")
    # on a busy machine a worker's last pages may come too late for the summary
    assert 0 < run.job["messages_processed"] <= stored["count"]
    (job,) = installation.query("SELECT id::text, status FROM sync_jobs")
    assert job["status"] == "failed"
    elsewhere = installation.with_environ(RAY_ADDRESS=ray_head.address)
    command = [sys.executable, "-m", "raysync", "resume", "--job-id", job["id"], "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=elsewhere.environ, stdout=pipe, stderr=pipe, text=True
    ) as program:
        resumed = ended(program, 200)
    assert resumed.code == 0, resumed.err
    elsewhere.assert_complete("takaro", emulator)
