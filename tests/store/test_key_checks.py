"""A run under another secret key than the one before would give everybody a second pseudonym."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ConfigurationError
from raysync.models.entities import Privacy
from raysync.models.ids import GuildId
from raysync.run.keys import RunKeys
from raysync.settings import Settings
from raysync.store.tenants import TenantStore
from tests.store.rows import add_tenant

KEY, OTHER = "the key of the first run", "another key than that"


def settings(url: str, key: str) -> Settings:
    return Settings(RAYSYNC_DATABASE_URL=url, RAYSYNC_SECRET_KEY=key)


async def test_a_tenant_keeps_the_key_of_its_first_run(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "a-token")
    first, second = settings(database_url, KEY), settings(database_url, OTHER)
    takaro = await add_tenant(engine)
    await RunKeys.find(first, engine, [takaro])

    with pytest.raises(ConfigurationError, match="takaro were made under another RAYSYNC_SECRET"):
        (await RunKeys.find(second, engine, [takaro])).require(takaro)

    (await RunKeys.find(first, engine, [takaro])).require(takaro)


async def test_those_that_another_key_does_not_touch_are_synced_all_the_same(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "a-token")
    takaro = await add_tenant(engine)
    full = await TenantStore(engine).add("full", GuildId(8), "Full", "env:TOKEN", Privacy.FULL)
    await RunKeys.find(settings(database_url, KEY), engine, [takaro, full])
    new = await add_tenant(engine, "new", 9)

    keys = await RunKeys.find(settings(database_url, OTHER), engine, [takaro, full, new])

    with pytest.raises(ConfigurationError, match="accept-key --tenant takaro"):
        keys.require(takaro)
    keys.require(full)
    keys.require(new)
