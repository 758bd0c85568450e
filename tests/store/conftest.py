"""The store's tests run as a role, and in an environment, whose presets are all against them.

Other tiers run with the presets of a new server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.store.connection.engine import open_engine
from tests.hostile import ENVIRONMENT, hostile_role


@pytest.fixture(scope="session")
def preset_role(postgres_url: str) -> str:
    """Return the name of a role for which nothing is preset as it should be."""
    return hostile_role(postgres_url)


@pytest.fixture
async def engine(
    database_url: str, preset_role: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncEngine]:
    """Open an engine as `tests.conftest.engine` does, but with hostile presets.

    What a test asks with `database_url` itself belongs to another role, and has to find the tables:
    the role's schema is wrong, and the environment's is not.
    """
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value.replace("-c search_path=decoy ", ""))
    url = make_url(database_url).set(username=preset_role)
    opened = open_engine(
        url.render_as_string(hide_password=False), pool_size=25, application_name="raysync tests"
    )
    yield opened
    left = opened.pool.checkedout()  # type: ignore[attr-defined]
    await opened.dispose()
    assert left == 0, f"{left} connections were not given back"
