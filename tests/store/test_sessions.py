"""What sessions rely on they set themselves, and what cannot hold our text is refused."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import pq, sql
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.database import open_store
from raysync.errors import ConfigurationError, DatabaseUnavailableError
from raysync.models.entities import Privacy
from raysync.models.ids import GuildId
from raysync.settings import Settings
from raysync.store.connection import sessions
from raysync.store.connection.engine import connect_alone, open_engine
from raysync.store.connection.sessions import connect_now, counting_variables
from raysync.store.server import migrate
from raysync.store.server.embedded import start_embedded, stop_embedded
from raysync.store.server.roles import RoleStore
from raysync.store.tenants import TenantStore
from tests.hostile import ENVIRONMENT, PRESETS, hostile_database

_BAD_VALUES = {
    "PGHOSTADDR": "127.0.0.1",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGCHANNELBINDING": "require",
    "PGSERVICE": "elsewhere",
    "PGTARGETSESSIONATTRS": "standby",
    "PGREQUIREPEER": "nobody",
    "PGOPTIONS": "-c default_transaction_read_only=on -c no_such_setting=1",
}
"""Of libpq's variables those for which a word of nonsense would do nothing."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of an embedded server that is ready."""
    path = tmp_path_factory.mktemp("home")
    migrate.upgrade(start_embedded(path))
    yield path
    stop_embedded(path)


@contextmanager
def _database(server_url: str, encoding: str) -> Iterator[str]:
    with hostile_database(server_url, encoding) as url:
        yield url


async def test_every_kind_of_connection_says_itself_what_it_relies_on(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    wanted = {
        **sessions._TEXT,
        **sessions._TRANSACTIONS,
        **sessions._PLANS,
        "session_replication_role": "origin",
        "synchronous_commit": "on",
        "statement_timeout": "1min",
        "idle_in_transaction_session_timeout": "1min",
    }
    assert PRESETS.keys() - wanted.keys() <= {
        "jit_above_cost",
        "geqo_threshold",
        "work_mem",
    }
    asked = "SELECT " + ", ".join(f"current_setting('{name}')" for name in wanted)
    with hostile_database(postgres_url) as url:
        engine = open_engine(url, pool_size=1, application_name="tests")
        async with engine.connect() as connection:
            found = {"pool": (await connection.execute(text(asked))).one()}
        async with await connect_alone(engine, "tests") as alone:
            found["alone"] = await (await alone.execute(asked.encode())).fetchone()
        await engine.dispose()
        with connect_now(url, "tests") as now:
            found["now"] = now.execute(asked.encode()).fetchone()

    for kind, values in found.items():
        assert dict(zip(wanted, values, strict=True)) == wanted, kind


async def test_a_pooled_connection_keeps_its_settings_over_transactions(
    postgres_url: str,
) -> None:
    asked = text("SELECT current_setting('search_path'), current_setting('transaction_isolation')")
    with hostile_database(postgres_url) as url:
        engine = open_engine(url, pool_size=1, application_name="tests")
        for _ in range(2):
            async with engine.connect() as connection:
                found = (await connection.execute(asked)).one()
                assert tuple(found) == ("public, pg_temp", "read committed")
        await engine.dispose()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1252"])
async def test_a_database_that_cannot_hold_what_people_write_is_refused(
    postgres_url: str, encoding: str
) -> None:
    with _database(postgres_url, encoding) as url:
        for contact in (migrate.current, migrate.require_current, migrate.upgrade):
            with pytest.raises(ConfigurationError, match=rf"encoding {encoding}.*ENCODING 'UTF8'"):
                contact(url)
        engine = open_engine(url, pool_size=1, application_name="tests")
        with pytest.raises(ConfigurationError, match=f"encoding {encoding}"):
            await TenantStore(engine).list()
        await engine.dispose()
        with psycopg.connect(url, autocommit=True, client_encoding="UTF8") as session:
            made = session.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            assert made.fetchone() == (0,)


def test_a_server_that_is_too_old_is_refused_at_first_contact(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "OLDEST_SERVER", 990000)
    with pytest.raises(ConfigurationError, match=r"needs PostgreSQL 99 or later.*Upgrade it"):
        migrate.require_current(database_url)


async def test_a_role_that_cannot_turn_triggers_on_is_told_who_can(
    engine: AsyncEngine, database_url: str
) -> None:
    role = f"role_worker_{uuid.uuid4().hex[:12]}"
    await RoleStore(engine).grant_worker(role)
    with psycopg.connect(database_url, autocommit=True) as owner:
        preset = sql.SQL("ALTER ROLE {} SET session_replication_role = replica")
        owner.execute(preset.format(sql.Identifier(role)))
    url = make_url(database_url).set(username=role).render_as_string(hide_password=False)
    as_worker = open_engine(url, pool_size=1, application_name="tests")
    with pytest.raises(ConfigurationError, match="RESET session_replication_role"):
        migrate.require_current(url)
    with pytest.raises(ConfigurationError, match="RESET session_replication_role"):
        await TenantStore(as_worker).list()
    await as_worker.dispose()


def _variables() -> list[str]:
    named = [each.envvar.decode() for each in pq.Conninfo.get_defaults() if each.envvar]
    return sorted({*named, "PGTZ", "PGDATESTYLE", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR"})


async def test_no_variable_of_libpq_reaches_the_embedded_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All of those that this libpq knows, one by one, and one that it will know."""
    settings = Settings(RAYSYNC_HOME=str(home))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".pg_service.conf").write_text("[elsewhere]\nhost=127.0.0.1\nport=1\n")
    (tmp_path / ".pgpass").write_text("*:*:*:*:a-password\n")
    for name in [*_variables(), "PGSOMETHINGNEW"]:
        monkeypatch.setenv(name, _BAD_VALUES.get(name, "nonsense"))
        async with open_store(settings) as engine:
            assert await TenantStore(engine).list() == ()
            async with await connect_alone(engine, "tests") as alone:
                assert alone.info.parameter_status("client_encoding") == "UTF8"
        assert name not in os.environ


def test_nothing_is_said_of_a_password_file_that_nobody_reads(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".pgpass").write_text("*:*:*:*:a-password\n")
    (tmp_path / ".pgpass").chmod(0o644)
    migrate.require_current(start_embedded(home))

    assert capfd.readouterr().err == ""


async def test_the_embedded_server_is_another_database_for_who_names_one_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user writes down is the user's, variables included."""
    other = make_url(start_embedded(home)).set(database="postgres")
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    with pytest.raises(DatabaseUnavailableError, match=r"PGHOSTADDR \(127\.0\.0\.1\)"):
        migrate.current(other.render_as_string(hide_password=False))

    assert os.environ["PGHOSTADDR"] == "127.0.0.1"


def test_variables_count_for_a_server_of_the_users_own_and_are_named(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSERVICE", "nowhere")
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setenv("PGAPPNAME", "of no account: raysync names itself")
    with pytest.raises(DatabaseUnavailableError) as refused:
        migrate.require_current(database_url)

    assert 'definition of service "nowhere" not found' in str(refused.value)
    assert "The environment applies, too: PGSERVICE (nowhere), PGPASSWORD." in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_variable_that_the_url_overrides_is_not_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    url = make_url("postgresql://me@db.example/sync")

    assert counting_variables(url) == ["PGTZ"]


def test_a_url_with_an_option_that_libpq_does_not_know_is_refused(database_url: str) -> None:
    url = make_url(database_url).update_query_dict({"no_such_option": "1"})
    with pytest.raises(ConfigurationError, match="no_such_option"):
        migrate.current(url.render_as_string(hide_password=False))


async def test_what_a_poolers_last_client_left_is_put_away(postgres_url: str) -> None:
    """As behind a pooler in session mode that resets nothing."""
    with hostile_database(postgres_url) as url, connect_now(url, "tests") as session:
        session.execute("PREPARE _pg3_0 AS SELECT 1")
        session.execute("CREATE TEMP TABLE tenants (id int)")
        session.execute(sessions._preparation(session.info.server_version, 60).encode())

        for query in ("pg_prepared_statements", "pg_class WHERE relpersistence = 't'"):
            left = session.execute(f"SELECT count(*) FROM {query}".encode()).fetchone()
            assert left == (0,), query


async def test_a_tenant_of_the_embedded_server_is_added_under_every_variable_at_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _variables():
        monkeypatch.setenv(name, _BAD_VALUES.get(name, "nonsense"))
    async with open_store(Settings(RAYSYNC_HOME=str(home))) as engine:
        store = TenantStore(engine)
        await store.add("odd", GuildId(9), "日本語 Ω", "env:T", Privacy.FULL)
        assert [each.name for each in await store.list()] == ["日本語 Ω"]
        await store.remove("odd")
