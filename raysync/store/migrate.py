"""Bringing a database to the schema that this version needs."""

from __future__ import annotations

import importlib.resources
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import create_engine, pool, text

from raysync.errors import ConfigurationError, JobRunningError, SchemaOutdatedError
from raysync.store.engine import normalize_url, reaching
from raysync.store.job_lock import LOCK_CLASS
from raysync.store.poolers import require_sessions
from raysync.store.roles import renew_grants
from raysync.store.sessions import connect_now, open_unprepared

_Session = psycopg.Connection[TupleRow]

_LOCK_WAIT_S = 120
OLDEST_SERVER = 15_00_00
"""As servers number themselves: views with security_invoker came with 15."""

_UPGRADE_LOCK = 0x7261_7973_796E_6300
"""The advisory lock of whoever migrates; the number is 'raysync' in letters."""
_DRIVERS = text("""
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.classid = :lock_class AND l.objsubid = 2 AND l.granted
    AND d.datname = current_database()
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
    """Where the migrations are: inside the installed package, or beside it in a checkout."""
    package = Path(str(importlib.resources.files("raysync")))
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def revisions() -> tuple[str, ...]:
    """All revisions, oldest first: each is the name of its file."""
    versions = migrations_dir() / "versions"
    return tuple(sorted(each.stem for each in versions.glob("[0-9]*.py")))


def head() -> str:
    """The revision this version needs."""
    return revisions()[-1]


def current(url: str) -> str | None:
    """The database's revision; None where it has no tables of ours.

    Raises:
        DatabaseUnavailableError: it cannot be reached.
        ConfigurationError: it cannot be used: by its encoding, or a pooler before it.
    """
    with _reached(url) as session:
        return _revision(session)


def require_current(url: str) -> None:
    """Make sure that the database has this version's schema.

    Raises:
        SchemaOutdatedError: it has another; the sentence says what to do.
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
            + "".join(_FOUND_ELSEWHERE.format(schema=each) for each in elsewhere)
        )
    if found in revisions():
        raise SchemaOutdatedError(
            f"The database is at {found}, and this raysync needs {needed}: "
            "run `raysync db upgrade`."
        )
    raise SchemaOutdatedError(
        f"The database is at {found}, which this raysync does not know, so a newer one made it: "
        "install that version."
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
            f"{OLDEST_SERVER // 10_000} or later, for views that show what their reader may see. "
            "Upgrade it, or use another one."
        )


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to *revision*, whole or not at all. Several at once take turns.

    Raises:
        JobRunningError: a sync is running on it.
        DatabaseUnavailableError: it cannot be reached, or another upgrade does not end.
    """
    if revision == "head" and current(url) == head():
        return
    _migrate(url, revision, downwards=False)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to *revision*; what only later tables hold is lost."""
    _migrate(url, revision, downwards=True)


def _migrate(url: str, revision: str, *, downwards: bool) -> None:
    from alembic import command  # a tenth of a second that no other command should pay
    from alembic.config import Config

    address = normalize_url(url)
    engine = create_engine(
        address, poolclass=pool.NullPool, creator=lambda: _for_migrations(address)
    )
    config = Config(output_buffer=io.StringIO(), stdout=io.StringIO())
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    with reaching(url), engine.begin() as connection:
        session: Any = connection.connection.driver_connection
        _require_version(session)
        connection.execute(
            text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": f"{_LOCK_WAIT_S}s"}
        )
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        if connection.execute(_DRIVERS, {"lock_class": LOCK_CLASS}).scalar_one():
            raise JobRunningError(
                "A sync is running on this database, and would meet a schema that it does not "
                "know: wait for it, or end it (`raysync status`, `raysync cancel --job-id ID`), "
                "then upgrade."
            )
        config.attributes["connection"] = connection
        step = command.downgrade if downwards else command.upgrade
        step(config, revision)
        if not downwards and revision == "head":
            renew_grants(session)


def _for_migrations(address: str) -> _Session:
    """Connect without timeouts: statements of a migration may take long."""
    session = connect_now(address, "raysync migrate", timeout_s=0)
    session.autocommit = False  # SQLAlchemy ends transactions itself
    return session
