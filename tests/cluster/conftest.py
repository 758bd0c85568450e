"""raysync on the session's Ray head, with a database and a served guild for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from raysync.emulator import Emulator, World
from tests.cluster.guilds import ServeTenant, served_tenant
from tests.cluster.installation import Installation, environ_of
from tests.cluster.midrun import actor_processes, kill_all
from tests.cluster.ray_head import RayHead


@pytest.fixture
def without_ray(database_url: str, tmp_path: Path) -> Installation:
    """Return raysync with a database of the test's own; a run starts its own Ray."""
    return Installation(database_url, environ_of(database_url, str(tmp_path / "home")))


@pytest.fixture
def installation(without_ray: Installation, ray_head: RayHead) -> Installation:
    """Return raysync with a database of the test's own, on the shared head."""
    return without_ray.with_environ(RAY_ADDRESS=ray_head.address, SYNC_MAX_CHANNEL_WORKERS="3")


@pytest.fixture
def forget_bans(ray_head: RayHead) -> Iterator[None]:
    """Kill the shared governor after the test, because it remembers a ban for an hour."""
    yield
    kill_all(actor_processes(ray_head, "RateLimitGovernor"))


@pytest.fixture
def serve_tenant() -> Iterator[ServeTenant]:
    """Serve a guild and add its tenant; the emulator ends with the test."""
    with ExitStack() as stack:

        def serve(
            installation: Installation,
            world: World,
            latency_s: float = 0.0,
            **environ: str | None,
        ) -> tuple[Installation, Emulator]:
            return stack.enter_context(served_tenant(installation, world, latency_s, **environ))

        yield serve
