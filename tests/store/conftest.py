"""An engine on a database of the test's own, whose pool must be empty when the test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.store.engine import open_engine


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    opened = open_engine(database_url, pool_size=25, application_name="raysync tests")
    yield opened
    left = opened.pool.checkedout()  # type: ignore[attr-defined]
    await opened.dispose()
    assert left == 0, f"{left} connections were not given back"
