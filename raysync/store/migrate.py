"""Bringing a database to the schema that this version needs."""

from __future__ import annotations

import importlib.resources
import io
from pathlib import Path

import psycopg
from sqlalchemy import create_engine, make_url, pool, text

from raysync.errors import ConfigurationError, JobRunningError, SchemaOutdatedError
from raysync.store.engine import CONNECT_TIMEOUT_S, connect_keywords, normalize_url, reaching
from raysync.store.job_lock import LOCK_CLASS
from raysync.store.roles import renew_grants

_UPGRADE_LOCK = 0x7261_7973_796E_6300
"""The advisory lock of whoever migrates; the number is 'raysync' in letters."""
_LOCK_WAIT_S = 120
OLDEST_SERVER = 15_00_00
"""As servers number themselves."""
_DRIVERS = text("""
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.classid = :lock_class AND l.objsubid = 2 AND l.granted
    AND d.datname = current_database()
""")
_UNDEFINED_TABLE = "42P01"


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
    """
    keywords = connect_keywords(make_url(normalize_url(url)))
    keywords["connect_timeout"] = CONNECT_TIMEOUT_S
    with reaching(url), psycopg.connect(**keywords) as session:
        try:
            row = session.execute("SELECT version_num FROM alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return None if row is None else str(row[0])


def require_current(url: str) -> None:
    """Make sure that the database has this version's schema.

    Raises:
        SchemaOutdatedError: it has another; the sentence says what to do.
        DatabaseUnavailableError: it cannot be reached.
    """
    found, needed = current(url), head()
    if found == needed:
        return
    if found is None:
        raise SchemaOutdatedError(
            "The database has no raysync tables yet: run `raysync db upgrade`."
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

    engine = create_engine(
        normalize_url(url),
        poolclass=pool.NullPool,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "raysync migrate"},
    )
    config = Config(output_buffer=io.StringIO(), stdout=io.StringIO())
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    with reaching(url), engine.begin() as connection:
        session = connection.connection.driver_connection
        if session.info.server_version < OLDEST_SERVER:  # type: ignore[union-attr]
            raise ConfigurationError(
                f"raysync needs PostgreSQL {OLDEST_SERVER // 10_000} or later, for views that show "
                "what their reader may see."
            )
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
