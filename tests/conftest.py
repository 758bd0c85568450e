"""What every tier shares: a marker for each folder, and a real PostgreSQL for whoever asks."""

from __future__ import annotations

import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.store.connection.engine import open_engine
from raysync.store.server import migrate
from raysync.store.server.embedded import start_embedded, stop_embedded

# Under nohup it is ignored, and the programs that tests start would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

TIERS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test in tests/<tier>/ has the marker <tier>."""
    for item in items:
        if item.path.is_relative_to(TIERS):
            item.add_marker(item.path.relative_to(TIERS).parts[0])


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server that lives as long as the session; its own database stays empty."""
    with tempfile.TemporaryDirectory(prefix="raysync-tests-") as directory:
        try:
            url = start_embedded(Path(directory))
            _admit_roles(Path(directory))
            with psycopg.connect(url, autocommit=True) as session:
                session.execute("ALTER SYSTEM SET fsync = off")  # a power cut may have it all
                session.execute("SELECT pg_reload_conf()")
            yield url
        finally:
            stop_embedded(Path(directory))


@pytest.fixture(scope="session")
def template_url(postgres_url: str) -> Iterator[str]:
    """A migrated database that tests copy and never use."""
    with _database(postgres_url, "template0") as url:
        migrate.upgrade(url)
        yield url


@pytest.fixture
def database_url(postgres_url: str, template_url: str) -> Iterator[str]:
    """A migrated database of this test alone."""
    with _database(postgres_url, str(make_url(template_url).database)) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A database of this test alone, with nothing in it."""
    with _database(postgres_url, "template0") as url:
        yield url


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a database of the test's own, whose pool must be empty when the test ends."""
    opened = open_engine(database_url, pool_size=25, application_name="raysync tests")
    yield opened
    left = opened.pool.checkedout()  # type: ignore[attr-defined]
    await opened.dispose()
    assert left == 0, f"{left} connections were not given back"


def _admit_roles(home: Path) -> None:
    """Let roles of the tests in by name, as a server of one's own would by password."""
    rules = home / "postgres" / "pg_hba.conf"
    rules.write_text("local all /^role_ trust\n" + rules.read_text())


@contextmanager
def _database(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    new, old = sql.Identifier(name), sql.Identifier(template)
    with psycopg.connect(server_url, autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(new, old))
        try:
            yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
        finally:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(new))
