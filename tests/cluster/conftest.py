"""One Ray head for all tests that are not about Ray's own start, and a database for each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.installation import Installation, environ_of, ray_environ
from tests.cluster.ray_head import RayHead, running_head


@pytest.fixture(scope="session")
def ray_head() -> Iterator[RayHead]:
    """A head that knows nothing of any database or token."""
    with (
        tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as directory,
        running_head(Path(directory), ray_environ()) as head,
    ):
        yield head


@pytest.fixture
def without_ray(database_url: str, tmp_path: Path) -> Installation:
    """raysync with a database of the test's own; a run starts its own Ray."""
    return Installation(database_url, environ_of(database_url, str(tmp_path / "home")))


@pytest.fixture
def installation(without_ray: Installation, ray_head: RayHead) -> Installation:
    """raysync with a database of the test's own, on the shared head."""
    return without_ray.with_environ(RAY_ADDRESS=ray_head.address, SYNC_MAX_CHANNEL_WORKERS="3")
