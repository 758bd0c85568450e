"""The migrations build what `raysync.store.schema.tables` describes, and can be taken back."""

from __future__ import annotations

import asyncio
import re
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import create_engine, pool
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    JobRunningError,
    SchemaOutdatedError,
)
from raysync.store.connection.engine import normalize_url
from raysync.store.connection.locks import LEGACY_CLASS
from raysync.store.jobs.lease import hold_tenant
from raysync.store.schema.tables import metadata
from raysync.store.server import migrate
from tests.store.rows import add_tenant
from tests.store.test_roles import as_role

_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    AND conrelid::regclass::text <> 'alembic_version'
"""
_INDEXES = """
SELECT tablename, indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename <> 'alembic_version'
"""
_COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
FROM information_schema.columns
WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""
_OPTIONS = """
SELECT relname, reloptions FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
"""


def _described(url: str) -> dict[str, set[tuple[object, ...]]]:
    """Everything the catalogs say of the tables, the order of their columns apart."""
    with psycopg.connect(url) as session:
        return {
            query: {tuple(map(str, row)) for row in session.execute(query)}
            for query in (_CONSTRAINTS, _INDEXES, _COLUMNS, _OPTIONS)
        }


def _create_all(url: str) -> None:
    engine = create_engine(normalize_url(url), poolclass=pool.NullPool)
    with engine.begin() as connection:
        metadata.create_all(connection)


def test_migrations_build_exactly_the_metadata(database_url: str, empty_database_url: str) -> None:
    _create_all(empty_database_url)

    for query, described in _described(empty_database_url).items():
        assert described ^ _described(database_url)[query] == set()


def test_alembic_finds_nothing_left_to_migrate(database_url: str) -> None:
    engine = create_engine(normalize_url(database_url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})

        assert compare_metadata(context, metadata) == []


def test_revisions_are_named_like_their_files_and_follow_each_other() -> None:
    script = ScriptDirectory(str(migrate.migrations_dir()))
    revisions = [each.revision for each in script.walk_revisions()][::-1]

    assert tuple(revisions) == migrate.revisions()
    assert [script.get_current_head()] == [migrate.head()]
    assert [int(each[:3]) for each in revisions] == list(range(1, len(revisions) + 1))
    assert all(re.fullmatch(r"\d{3}_[a-z_]{1,28}", each) for each in revisions)
    assert migrate.head() == "021_add_tail"


def test_tracking_of_channel_syncs_comes_with_007(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, "006_create_limits_and_audit")
    before = _described(empty_database_url)[_COLUMNS]
    migrate.upgrade(empty_database_url, "007_add_channel_sync_tracking")
    added = _described(empty_database_url)[_COLUMNS] - before

    assert {table for table, *_ in added} == {"channel_sync_jobs", "dead_letters", "sync_progress"}
    assert {"worker_id", "lease_expires_at", "epoch"} <= {
        column for table, column, *_ in added if table == "sync_progress"
    }


def test_each_step_can_be_taken_back(empty_database_url: str) -> None:
    steps = []
    for revision in migrate.revisions():
        migrate.upgrade(empty_database_url, revision)
        steps.append((revision, _described(empty_database_url)))
    for revision, described in reversed(steps[:-1]):
        migrate.downgrade(empty_database_url, revision)

        assert migrate.current(empty_database_url) == revision
        assert _described(empty_database_url) == described
    migrate.downgrade(empty_database_url, "base")

    assert not any(_described(empty_database_url).values())


def test_two_upgrades_at_once_take_turns(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(migrate.upgrade, [empty_database_url] * 4))

    assert migrate.current(empty_database_url) == migrate.head()


async def test_no_step_waits_for_a_running_sync_or_disturbs_it(
    engine: AsyncEngine, database_url: str
) -> None:
    tenant = await add_tenant(engine)
    async with hold_tenant(engine, tenant.id) as lease:
        for step in (migrate.upgrade, migrate.downgrade):
            with pytest.raises(JobRunningError, match="A sync is running"):
                await asyncio.to_thread(step, database_url, migrate.revisions()[-2])
        assert not lease.lost.is_set()
    await asyncio.to_thread(migrate.downgrade, database_url, migrate.revisions()[-2])
    await asyncio.to_thread(migrate.upgrade, database_url)

    assert migrate.current(database_url) == migrate.head()


_LEGACY_LOCK = "SELECT pg_advisory_lock(%s, 1)"


def test_an_upgrade_sees_a_sync_of_a_version_that_locked_by_number(
    empty_database_url: str,
) -> None:
    """And no lock of a role that may run none."""
    migrate.upgrade(empty_database_url, "014_add_key_checks")
    with psycopg.connect(empty_database_url, autocommit=True) as driver:
        driver.execute(_LEGACY_LOCK, (LEGACY_CLASS,))
        with pytest.raises(JobRunningError, match="A sync is running"):
            migrate.upgrade(empty_database_url)
    role = f"role_analyst_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(empty_database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    with psycopg.connect(as_role(empty_database_url, role), autocommit=True) as analyst:
        analyst.execute(_LEGACY_LOCK, (LEGACY_CLASS,))
        migrate.upgrade(empty_database_url)

    assert migrate.current(empty_database_url) == migrate.head()


def test_a_role_without_rights_cannot_keep_an_upgrade_waiting(empty_database_url: str) -> None:
    """By no number at all: not by the one that earlier versions took turns by, either."""
    role = f"role_stranger_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(empty_database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    with psycopg.connect(as_role(empty_database_url, role), autocommit=True) as stranger:
        stranger.execute("SELECT pg_advisory_lock(x'72617973796E6300'::bigint)")
        migrate.upgrade(empty_database_url)

    assert migrate.current(empty_database_url) == migrate.head()


def test_a_database_without_tables_asks_for_an_upgrade(empty_database_url: str) -> None:
    with pytest.raises(SchemaOutdatedError, match="run `raysync db upgrade`"):
        migrate.require_current(empty_database_url)


def test_an_older_schema_asks_for_an_upgrade(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url, migrate.revisions()[0])
    with pytest.raises(SchemaOutdatedError, match=r"001_create_tenants.*run `raysync db upgrade`"):
        migrate.require_current(empty_database_url)


def test_a_newer_schema_asks_for_a_newer_raysync(database_url: str) -> None:
    with psycopg.connect(database_url) as session:
        session.execute("UPDATE alembic_version SET version_num = '099_from_the_future'")
    with pytest.raises(SchemaOutdatedError, match=r"099_from_the_future.*Install that version"):
        migrate.require_current(database_url)


def test_this_versions_schema_is_accepted(database_url: str) -> None:
    migrate.require_current(database_url)


def test_a_server_that_is_too_old_is_told_before_anything_is_made(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "OLDEST_SERVER", 990000)
    with pytest.raises(ConfigurationError, match="needs PostgreSQL 99 or later"):
        migrate.upgrade(empty_database_url)

    assert migrate.current(empty_database_url) is None


def test_a_migration_prints_nothing(
    empty_database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    migrate.upgrade(empty_database_url)

    assert capfd.readouterr() == ("", "")


def test_an_unreachable_database_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        migrate.current("postgresql://me:hunter2@127.0.0.1:1/nowhere")

    assert "nowhere at 127.0.0.1, port 1" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_audit_log_refuses_changes(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as session:
        session.execute("INSERT INTO audit_log (actor, action) VALUES ('me', 'looked')")
        for change in ("UPDATE audit_log SET actor = 'you'", "DELETE FROM audit_log"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                session.execute(change)
