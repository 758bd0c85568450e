"""Connections that break, and URLs that are none."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import (
    ConfigurationError,
    DatabaseFullError,
    DatabaseUnavailableError,
    StoreRestartedError,
    StoreUnavailableError,
)
from raysync.models.work import Claim, PageReceipt
from raysync.store.archive.pages import PostgresPages
from raysync.store.connection.engine import (
    connect_keywords,
    normalize_url,
    open_engine,
    translated,
    where_is,
)
from raysync.store.server import migrate
from raysync.store.server.embedded import start_embedded, stop_embedded
from raysync.store.tenants import TenantStore
from tests.store.rows import add_channel, add_tenant, message, page, task


@pytest.mark.parametrize(
    "url", ["postgres://u:p@h/d", "postgresql://u:p@h/d", " postgresql+psycopg://u:p@h/d\n"]
)
def test_each_spelling_of_a_postgresql_url_is_accepted(url: str) -> None:
    assert normalize_url(url) == "postgresql+psycopg://u:p@h/d"


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/d", "sqlite:///x", "postgresql+asyncpg://u:hunter2@h/d", "hunter2"]
)
def test_another_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://") as caught:
        normalize_url(url)

    assert "hunter2" not in str(caught.value)


def test_a_database_is_named_without_its_password() -> None:
    assert where_is("postgres://me:hunter2@db.example:5433/sync") == (
        "sync at db.example, port 5433"
    )


@pytest.fixture
def fragile_home() -> Iterator[Path]:
    """The home of a server that the test may kill."""
    with tempfile.TemporaryDirectory(prefix="raysync-fragile-") as directory:
        home = Path(directory)
        try:
            yield home
        finally:
            stop_embedded(home)


async def _claimed(engine: AsyncEngine) -> tuple[PostgresPages, Claim]:
    tenant = await add_tenant(engine)
    pages = PostgresPages(engine)
    claim = await pages.claim(task(tenant.id, await add_channel(engine, tenant.id)), "w1")
    assert claim is not None
    return pages, claim


async def _renew_until_it_fails(pages: PostgresPages, claim: Claim) -> None:
    while True:
        await pages.renew(claim)


async def test_a_worker_goes_on_after_the_server_was_killed_and_came_back(
    fragile_home: Path,
) -> None:
    url = await asyncio.to_thread(start_embedded, fragile_home)
    await asyncio.to_thread(migrate.upgrade, url)
    engine = open_engine(url, pool_size=5, application_name="raysync tests")
    pages, claim = await _claimed(engine)
    await pages.save_page(claim, page(message(10)))
    os.kill(int((fragile_home / "postgres/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    with pytest.raises(StoreUnavailableError, match="The database did not answer"):
        await _renew_until_it_fails(pages, claim)  # connections outlive the server by a moment
    with pytest.raises(StoreUnavailableError):
        await TenantStore(engine).list()
    await asyncio.to_thread(start_embedded, fragile_home)

    with pytest.raises(StoreRestartedError):  # it may have lost what it had not written to disk
        await pages.save_page(claim, page(message(11)))
    again = await pages.claim(claim.task, claim.worker_id)
    assert again is not None
    assert await pages.save_page(again, page(message(11))) == PageReceipt(1, 0)
    await engine.dispose()


async def test_connections_that_died_while_idle_are_replaced_unseen(
    engine: AsyncEngine, database_url: str
) -> None:
    pages, claim = await _claimed(engine)
    await asyncio.gather(*(pages.renew(claim) for _ in range(5)))
    with psycopg.connect(database_url, autocommit=True) as session:
        session.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'raysync tests'"
        )

    await asyncio.gather(*(pages.save_page(claim, page(message(10))) for _ in range(5)))


async def test_a_pool_that_is_used_up_is_no_crash(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.sync_engine.pool, "_timeout", 0.01)
    taken = [await engine.connect() for _ in range(25)]
    try:
        with pytest.raises(StoreUnavailableError, match="No database connection became free"):
            await TenantStore(engine).list()
    finally:
        for each in taken:
            await each.close()


async def test_a_cancelled_page_gives_its_connection_back(engine: AsyncEngine) -> None:
    pages, claim = await _claimed(engine)
    many = page(*(message(i) for i in range(1, 101)))
    for _ in range(20):
        saving = asyncio.create_task(pages.save_page(claim, many))
        await asyncio.sleep(0)
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        gc.collect()  # which warns of a connection that nobody gave back

    assert (await pages.save_page(claim, many)).inserted in (0, 100)


async def test_a_crash_of_one_of_the_servers_processes_voids_claims_too(
    fragile_home: Path,
) -> None:
    """The server itself lives on, and has lost what was not written to disk all the same."""
    url = await asyncio.to_thread(start_embedded, fragile_home)
    await asyncio.to_thread(migrate.upgrade, url)
    engine = open_engine(url, pool_size=2, application_name="raysync tests")
    pages, claim = await _claimed(engine)
    await pages.save_page(claim, page(message(10)))
    victim = psycopg.connect(url)
    os.kill(victim.info.backend_pid, signal.SIGKILL)
    victim.close()
    with pytest.raises(StoreUnavailableError):
        await _renew_until_it_fails(pages, claim)
    async with asyncio.timeout(30):
        while True:
            try:
                await pages.save_page(claim, page(message(11)))
            except StoreUnavailableError:
                await asyncio.sleep(0.05)
            except StoreRestartedError:
                break
    again = await pages.claim(claim.task, claim.worker_id)
    assert again is not None
    assert await pages.save_page(again, page(message(11))) == PageReceipt(1, 0)
    await engine.dispose()


@pytest.mark.parametrize("password", ["my secret", "p@ss:w/rd?#%", "quote'd\\"])
def test_a_password_is_handed_over_as_it_is_and_never_repeated(password: str) -> None:
    address = URL.create("postgresql", "raysync", password, "127.0.0.1", 1, "raysync")
    url = address.render_as_string(hide_password=False)

    assert connect_keywords(make_url(url))["password"] == password
    with pytest.raises(DatabaseUnavailableError) as refused:
        migrate.current(url)
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    ("message", "code"),
    [("no space left", "53100"), ("could not extend file: Disk quota exceeded", "XX000")],
)
async def test_a_full_disk_is_told_as_that(database_url: str, message: str, code: str) -> None:
    engine = open_engine(database_url, pool_size=1, application_name="tests")
    no_room = f"DO $$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'; END $$"
    with pytest.raises(DatabaseFullError, match="Make room"), translated():
        async with engine.connect() as connection:
            await connection.exec_driver_sql(no_room)
    await engine.dispose()
