"""Poolers that keep sessions are welcome; others are refused before anything is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from raysync.errors import ConfigurationError, JobRunningError
from raysync.models.status import SyncType
from raysync.models.work import PageReceipt, SyncWindow
from raysync.store.archive.pages import PostgresPages
from raysync.store.connection import poolers
from raysync.store.connection.engine import open_engine
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.server import migrate
from tests.pgbouncer import pooled
from tests.store.rows import add_channel, add_tenant, message, page, task

_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'raysync'"


@pytest.fixture(params=["transaction", "statement"])
def wrong_pooler(request: pytest.FixtureRequest, empty_database_url: str) -> Iterator[str]:
    with pooled(empty_database_url, request.param) as url:
        yield url


def test_a_pooler_that_breaks_sessions_is_refused_and_nothing_is_written(
    wrong_pooler: str, empty_database_url: str
) -> None:
    for contact in (migrate.current, migrate.require_current, migrate.upgrade):
        with pytest.raises(ConfigurationError, match=r"pooler.*pool_mode = session"):
            contact(wrong_pooler)

    with psycopg.connect(empty_database_url) as session:
        tables = session.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchone() == (0,)


def test_whoever_has_the_server_connection_next_finds_it_as_it_was(
    empty_database_url: str,
) -> None:
    with pooled(empty_database_url, "transaction", "default_pool_size = 1") as url:
        with psycopg.connect(url, autocommit=True) as client:
            before = client.execute("SELECT name, setting FROM pg_settings").fetchall()
        with pytest.raises(ConfigurationError, match="pool_mode = session"):
            migrate.current(url)
        with psycopg.connect(url, autocommit=True) as client:
            after = client.execute("SELECT name, setting FROM pg_settings").fetchall()
            listening = client.execute("SELECT count(*) FROM pg_listening_channels()").fetchone()
            mark = client.execute("SELECT current_setting('raysync.session', true)").fetchone()

    assert set(after) ^ set(before) <= {("application_name", ""), ("application_name", "raysync")}
    assert listening == (0,)
    assert mark == ("",)


def test_a_pooler_that_hands_out_other_connections_for_a_while_is_refused_too(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle ones in turn: the first look meets a session that was never ours."""
    monkeypatch.setattr(poolers, "PROOF_S", 0.5)
    with pooled(empty_database_url, "transaction", "server_round_robin = 1") as url:
        with ExitStack() as stack:
            for _ in range(5):  # as many server connections
                other = stack.enter_context(psycopg.connect(url))
                other.execute("SELECT 1")
        with pytest.raises(ConfigurationError, match="pool_mode = session"):
            migrate.current(url)


async def test_a_pooler_of_sessions_is_as_good_as_none(empty_database_url: str) -> None:
    with pooled(empty_database_url, "session") as url:
        await asyncio.to_thread(migrate.upgrade, url)
        engine = open_engine(url, pool_size=5, application_name="raysync tests")
        tenant = await add_tenant(engine)
        pages, jobs = PostgresPages(engine), JobStore(engine)
        async with jobs.lease(tenant.id) as lease:
            job_id = lease.job_id = await jobs.begin(tenant.id, SyncWindow(SyncType.FULL))
            claim = await pages.claim(task(tenant.id, await add_channel(engine, tenant.id)), "w1")
            assert claim is not None
            for number in range(1, 13):  # beyond where statements are prepared
                saved = await pages.save_page(claim, page(message(number, "日本語")))
                assert saved == PageReceipt(1, 0)
            with pytest.raises(JobRunningError, match=job_id):
                await jobs.require_free(tenant.id)
            assert await jobs.cancel(job_id)
            await asyncio.wait_for(lease.cancelled.wait(), 30)
        await jobs.require_free(tenant.id)
        await engine.dispose()


def test_a_server_that_answers_itself_is_asked_by_one_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another() -> psycopg.Connection[tuple[object, ...]]:
        pytest.fail("a second connection")

    with psycopg.connect(database_url, autocommit=True) as session:
        poolers.require_sessions(session, another)
