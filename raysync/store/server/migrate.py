"""Migration of a database to the schema that this version needs."""

from __future__ import annotations

import importlib.resources
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import Connection, Engine, create_engine, pool, text
from sqlalchemy.exc import IntegrityError

from raysync.errors import (
    ConfigurationError,
    JobRunningError,
    NotPermittedError,
    SchemaOutdatedError,
)
from raysync.store.connection.engine import normalize_url, reaching
from raysync.store.connection.locks import IS_HELD, LEGACY_CLASS
from raysync.store.connection.poolers import require_sessions
from raysync.store.connection.sessions import connect_now, open_unprepared
from raysync.store.server.roles import renew_grants

_Session = psycopg.Connection[TupleRow]

_LOCK_WAIT_S = 120
OLDEST_SERVER = 15_00_00
"""Oldest supported server, as servers number themselves: 15 brought security_invoker views."""

# Upgrades take turns by a table lock, because any role could take an advisory lock. The table is
# Alembic's, so the first upgrade creates it the way Alembic does.
_HAS_TABLE = text("SELECT to_regclass(:name) IS NOT NULL")
_VERSION_TABLE = text("""
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))
""")
_TAKE_TURN = text("LOCK TABLE alembic_version IN EXCLUSIVE MODE")
_BAR_HOLDERS = text("LOCK TABLE locks IN SHARE ROW EXCLUSIVE MODE")
_HELD = text(f"SELECT count(*) FROM locks l WHERE l.tenant_id IS NOT NULL AND {IS_HELD}")  # noqa: S608
# A version without the table took advisory locks. Only those of roles that may write jobs count.
_LEGACY_HELD = text("""
SELECT count(*) FROM pg_locks k JOIN pg_database d ON d.oid = k.database
JOIN pg_stat_get_activity(NULL) a ON a.pid = k.pid
WHERE k.locktype = 'advisory' AND k.classid = :lock_class AND k.objsubid = 2 AND k.granted
    AND d.datname = current_database() AND has_table_privilege(a.usesysid, 'sync_jobs', 'INSERT')
""")
_SCHEMAS = """
SELECT n.nspname::text FROM pg_namespace n
WHERE n.nspname <> 'public' AND has_schema_privilege(n.oid, 'USAGE') AND 2 = (
    SELECT count(*) FROM pg_class c
    WHERE c.relnamespace = n.oid AND c.relname IN ('alembic_version', 'sync_progress'))
"""
_FOUND_ELSEWHERE = (
    " The schema {schema} has tables of the same names. raysync uses the schema public only: move "
    "them with ALTER TABLE … SET SCHEMA public if they are raysync's."
)


def migrations_dir() -> Path:
    """Return the migrations' directory: in the installed package, or beside it in a checkout."""
    package = Path(str(importlib.resources.files("raysync")))
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def revisions() -> tuple[str, ...]:
    """Return all revisions, oldest first. A revision is the name of its file."""
    versions = migrations_dir() / "versions"
    return tuple(sorted(file.stem for file in versions.glob("[0-9]*.py")))


def head() -> str:
    """Return the revision that this version needs."""
    return revisions()[-1]


def current(url: str) -> str | None:
    """Return the database's revision; None if it has no tables of raysync.

    Raises:
        DatabaseUnavailableError: it cannot be reached.
        ConfigurationError: its encoding, or a pooler in front of it, cannot be used.
    """
    with _reached(url) as session:
        return _revision(session)


def require_current(url: str) -> None:
    """Raise unless the database has this version's schema.

    Raises:
        SchemaOutdatedError: it has another one; the error says what to do.
        DatabaseUnavailableError: it cannot be reached.
        ConfigurationError: it cannot be used.
    """
    with _reached(url) as session:
        _require_version(session)
        found, needed = _revision(session), head()
        elsewhere = _schemas(session) if found is None else []
    if found == needed:
        return
    if found is None:
        raise SchemaOutdatedError(
            "The database has no raysync tables yet: run `raysync db upgrade`."
            + "".join(_FOUND_ELSEWHERE.format(schema=schema) for schema in elsewhere)
        )
    if found in revisions():
        raise SchemaOutdatedError(
            f"The database is at {found}, and this raysync needs {needed}: "
            "run `raysync db upgrade`."
        )
    raise SchemaOutdatedError(
        f"The database is at {found}, which this raysync does not know: a newer version created "
        "it. Install that version."
    )


@contextmanager
def _reached(url: str) -> Iterator[_Session]:
    """Connect for the first time, and refuse a database that cannot be used."""
    address = normalize_url(url)

    def another() -> _Session:
        return open_unprepared(address, "raysync")

    def prove(session: _Session) -> None:
        require_sessions(session, another)

    with reaching(url), connect_now(address, "raysync", at_first=prove) as session:
        yield session


def _revision(session: _Session) -> str | None:
    try:
        row = session.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return None if row is None else str(row[0])


def _schemas(session: _Session) -> list[str]:
    """Return other schemas that have tables with raysync's names."""
    return [name for (name,) in session.execute(_SCHEMAS)]


def _require_version(session: _Session) -> None:
    version = session.info.server_version
    if version < OLDEST_SERVER:
        raise ConfigurationError(
            f"This server is PostgreSQL {version // 10_000}, and raysync needs PostgreSQL "
            f"{OLDEST_SERVER // 10_000} or later, for views that check their reader's rights. "
            "Upgrade it, or use another one."
        )


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade the database to *revision*, completely or not at all. Concurrent calls take turns.

    Raises:
        JobRunningError: a sync is running on it.
        DatabaseUnavailableError: it cannot be reached, or another upgrade does not end.
    """
    if revision == "head" and current(url) == head():
        return
    _migrate(url, revision, downwards=False)


def downgrade(url: str, revision: str) -> None:
    """Downgrade the database to *revision*. The contents of later tables are lost."""
    _migrate(url, revision, downwards=True)


def _migrate(url: str, revision: str, *, downwards: bool) -> None:
    address = normalize_url(url)
    engine = create_engine(
        address, poolclass=pool.NullPool, creator=lambda: _for_migrations(address)
    )
    try:
        with reaching(url):
            try:
                _run(engine, revision, downwards=downwards)
            except _MadeMeanwhileError:
                _run(engine, revision, downwards=downwards)
    except NotPermittedError as error:
        raise NotPermittedError(
            f"{error.refusal} Only the tables' owner may change the schema: upgrade as that role.",
            error.refusal,
        ) from None


class _MadeMeanwhileError(Exception):
    """Another upgrade has created the first table."""


def _for_migrations(address: str) -> _Session:
    """Connect without timeouts: statements of a migration may take long."""
    session = connect_now(address, "raysync migrate", timeout_s=0)
    session.autocommit = False  # SQLAlchemy ends transactions itself
    return session


def _run(engine: Engine, revision: str, *, downwards: bool) -> None:
    from alembic import command  # takes 0.1 s, so only when needed
    from alembic.config import Config

    config = Config(output_buffer=io.StringIO(), stdout=io.StringIO())
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    with engine.begin() as connection:
        session: Any = connection.connection.driver_connection
        _require_version(session)
        _take_turn(connection)
        _require_no_sync(connection)
        config.attributes["connection"] = connection
        step = command.downgrade if downwards else command.upgrade
        step(config, revision)
        if not downwards and revision == "head":
            renew_grants(session)


def _take_turn(connection: Connection) -> None:
    """Wait until no other upgrade is running."""
    connection.execute(
        text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": f"{_LOCK_WAIT_S}s"}
    )
    if not _has_table(connection, "alembic_version"):
        try:
            connection.execute(_VERSION_TABLE)
        except IntegrityError:
            raise _MadeMeanwhileError from None
    connection.execute(_TAKE_TURN)


def _require_no_sync(connection: Connection) -> None:
    """Make sure that no tenant is held, and that none can be taken during the upgrade."""
    if _has_table(connection, "locks"):
        connection.execute(_BAR_HOLDERS)
        held = connection.execute(_HELD).scalar_one()
    elif _has_table(connection, "sync_jobs"):
        held = connection.execute(_LEGACY_HELD, {"lock_class": LEGACY_CLASS}).scalar_one()
    else:
        held = 0
    if held:
        raise JobRunningError(
            "A sync is running on this database, and would break on a changed schema: wait for it, "
            "or cancel it (`raysync status`, `raysync cancel --job-id ID`), then upgrade."
        )


def _has_table(connection: Connection, name: str) -> bool:
    return bool(connection.execute(_HAS_TABLE, {"name": name}).scalar_one())
