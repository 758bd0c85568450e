"""The amounts of personal data: counted in a small archive, estimated in a large one."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import StatementTimeoutError
from raysync.models.ids import TenantId
from raysync.store.connection.engine import open_engine, translated
from raysync.store.privacy.overview import kept_of
from raysync.store.server.roles import RoleStore
from raysync.store.tenants import TenantStore
from tests.bench.large_archive import SHARES, fill
from tests.store.test_roles import as_role

MESSAGES = 40_000
LARGEST, LARGE, SMALL = (
    TenantId(list(SHARES).index(slug) + 1) for slug in ("largest", "large", "small")
)
_TRUTH = {
    "messages": "SELECT count(*) FROM messages WHERE tenant_id = %(tenant)s",
    "authors": (
        "SELECT count(DISTINCT anonymized_author_id) FROM messages WHERE tenant_id = %(tenant)s"
    ),
    "deleted_messages": (
        "SELECT count(*) FROM messages WHERE tenant_id = %(tenant)s AND deleted_at IS NOT NULL"
    ),
    "versions": "SELECT count(*) FROM message_versions {}",
    "reactors": "SELECT count(*) FROM message_emoji_reactions {} AND anonymized_user_id <> ''",
    "attachments": "SELECT count(*) FROM message_attachments {}",
    "stored_files": "SELECT count(*) FROM message_attachments {} AND blob_key IS NOT NULL",
    "oldest_message_at": (
        "SELECT min(platform_created_at) FROM messages WHERE tenant_id = %(tenant)s"
    ),
}
_OURS = "JOIN channels c ON c.id = channel_id WHERE c.tenant_id = %(tenant)s"


@pytest.fixture
def filled(database_url: str) -> str:
    """A database with a small copy of the large archive."""
    fill(database_url, MESSAGES, jobs=1)
    return database_url


@pytest.fixture
def few(database_url: str) -> str:
    """A database with a minimal copy of the large archive."""
    fill(database_url, 1_000, jobs=1)
    return database_url


def _truth(url: str, tenant_id: int) -> dict[str, Any]:
    with psycopg.connect(url) as session:
        session.execute("SET DateStyle = 'ISO'; SET TimeZone = 'UTC'")
        found = {}
        for name, statement in _TRUTH.items():
            asked = statement.format(_OURS).encode()
            (found[name],) = session.execute(asked, {"tenant": tenant_id}).fetchone() or (None,)
        return found


async def test_a_count_is_the_truth_and_no_estimate(filled: str, engine: AsyncEngine) -> None:
    for tenant_id in (LARGEST, LARGE, SMALL):
        truth = _truth(filled, tenant_id)

        exact = await kept_of(engine, tenant_id, is_exact=True, counted_up_to=0)
        small = await kept_of(engine, tenant_id, counted_up_to=MESSAGES, count_timeout_s=60)

        assert exact.values == small.values == truth
        assert exact.estimated == small.estimated == frozenset()


async def test_an_estimate_is_near_the_truth(filled: str, engine: AsyncEngine) -> None:
    for tenant_id, error in ((LARGEST, 0.2), (LARGE, 0.4)):
        truth = _truth(filled, tenant_id)

        kept = await kept_of(engine, tenant_id, counted_up_to=0, sampled_blocks=1_000)

        assert kept.estimated == frozenset(truth) - {"messages", "oldest_message_at"}
        for name in frozenset(truth) - kept.estimated:
            assert kept.values[name] == truth[name], name
        for name in kept.estimated - {"authors"}:
            assert kept.values[name] == pytest.approx(truth[name], rel=error), name
        assert truth["authors"] / 3 < kept.values["authors"] <= truth["authors"] * 1.05  # type: ignore[operator]


async def test_a_sample_reads_no_more_blocks_than_allowed(filled: str, engine: AsyncEngine) -> None:
    read = "SELECT sum(heap_blks_read + heap_blks_hit) FROM pg_statio_user_tables"
    before = _settled(filled, read)

    await kept_of(engine, LARGEST, counted_up_to=0, sampled_blocks=100)
    await engine.dispose()

    assert _settled(filled, read) - before < 700, "100 and 3 x 40 sampled, and small tables"


async def test_a_count_that_takes_too_long_becomes_an_estimate(
    filled: str, engine: AsyncEngine
) -> None:
    kept = await kept_of(engine, LARGEST, counted_up_to=MESSAGES, count_timeout_s=0.005)

    assert "authors" in kept.estimated, "28,000 rows take longer than 5 ms"
    assert kept.values["messages"] == _truth(filled, LARGEST)["messages"]


async def test_an_empty_tenant_keeps_nothing(few: str, engine: AsyncEngine) -> None:
    with psycopg.connect(few) as session:
        session.execute(
            "INSERT INTO tenants (id, slug, name, platform_id, token_ref) "
            "OVERRIDING SYSTEM VALUE VALUES (99, 'empty', 'empty', 99, 'env:T')"
        )

    kept = await kept_of(engine, TenantId(99), counted_up_to=-1)

    assert not any(kept.values.values())


async def test_an_analyst_learns_nothing_of_another_tenant(few: str, engine: AsyncEngine) -> None:
    analyst = f"role_analyst_{uuid.uuid4().hex[:12]}"
    small = await TenantStore(engine).get("small")
    await RoleStore(engine).grant_analyst(analyst, small)
    theirs = open_engine(as_role(few, analyst), pool_size=1, application_name="raysync tests")
    try:
        others = await kept_of(theirs, LARGEST, counted_up_to=-1)
        own = await kept_of(theirs, small.id)
    finally:
        await theirs.dispose()
        await RoleStore(engine).revoke_analyst(analyst, small)
        with psycopg.connect(few, autocommit=True) as session:
            session.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(analyst)))
            session.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(analyst)))

    assert not any(others.values.values())
    assert own.values["messages"] == _truth(few, SMALL)["messages"]


async def test_a_statement_over_its_limit_ends_with_a_sentence(database_url: str) -> None:
    engine = open_engine(database_url, pool_size=1, application_name="raysync tests", timeout_s=1)
    with psycopg.connect(database_url) as session:
        session.execute("LOCK TABLE tenants")
        with pytest.raises(StatementTimeoutError, match="took longer than its limit"), translated():
            await TenantStore(engine).list()
    await engine.dispose()


def _settled(url: str, statement: str) -> int:
    """Return a count of the server's, once all other sessions have ended and reported."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with psycopg.connect(url, autocommit=True) as session:
        while (session.execute(others).fetchone() or (0,))[0] > 1:
            session.execute("SELECT pg_stat_clear_snapshot()")
        session.execute("SELECT pg_stat_clear_snapshot()")
        (found,) = session.execute(statement.encode()).fetchone() or (0,)
        return int(found)
