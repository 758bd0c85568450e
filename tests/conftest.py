"""Fixtures of all tiers: a real PostgreSQL server and one Ray head for the session."""

from __future__ import annotations

import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from raysync.store.connection.engine import open_engine
from raysync.store.server import migrate
from raysync.store.server.embedded import start_embedded, stop_embedded
from tests.turns import turn

if TYPE_CHECKING:
    from tests.cluster.ray_head import RayHead

# nohup ignores SIGHUP, a shell ignores SIGINT for its background jobs, and the programs that tests
# start would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TIERS = Path(__file__).parent
TURNS = TIERS.parent / ".pytest_cache" / "turns"
ALL_TESTS = "not bench and not slow"  # as pyproject.toml says
TIERS_WITH_RAY = frozenset({"cluster", "faults", "packaging"})


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of processes: two for all tests, none besides this one for others.

    A debugger works in this process, and benchmarks need a quiet machine.
    """
    is_all = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return 2 if is_all and config.option.markexpr == ALL_TESTS else 0


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return OneRayAtATime(config, log)


class OneRayAtATime(LoadScopeScheduling):
    """Give all tests with Ray to one process, and the others file by file to whichever is free.

    Tests with Ray mostly wait, for half of the time that all tests take. Two Rays at a time would
    not fit two cores.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return "ray" if Path(path).parts[1] in TIERS_WITH_RAY else path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test in tests/<tier>/ with <tier>."""
    for item in items:
        if item.path.is_relative_to(TIERS):
            item.add_marker(item.path.relative_to(TIERS).parts[0])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Give each test its turn, before its timeout begins."""
    with turn(TURNS, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Start a server for the session; its default database stays empty."""
    with tempfile.TemporaryDirectory(prefix="raysync-tests-") as directory:
        try:
            url = start_embedded(Path(directory))
            _admit_roles(Path(directory))
            with psycopg.connect(url, autocommit=True) as session:
                session.execute(
                    "ALTER SYSTEM SET fsync = off"
                )  # no test needs the data after a power cut
                session.execute("SELECT pg_reload_conf()")
            yield url
        finally:
            stop_embedded(Path(directory))


@pytest.fixture(scope="session")
def template_url(postgres_url: str) -> Iterator[str]:
    """Create a migrated database, which tests copy and never use."""
    with database_like(postgres_url, "template0") as url:
        migrate.upgrade(url)
        yield url


@pytest.fixture
def database_url(postgres_url: str, template_url: str) -> Iterator[str]:
    """Create a migrated database for one test."""
    with database_like(postgres_url, str(make_url(template_url).database)) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """Create an empty database for one test."""
    with database_like(postgres_url, "template0") as url:
        yield url


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Open an engine on the test's database; the test must return all connections."""
    opened = open_engine(database_url, pool_size=25, application_name="raysync tests")
    yield opened
    left = opened.pool.checkedout()  # type: ignore[attr-defined]
    await opened.dispose()
    assert left == 0, f"{left} connections were not returned to the pool"


@pytest.fixture(scope="session")
def ray_head() -> Iterator[RayHead]:
    """Start one Ray head for all tiers, without a database or a token in its environment."""
    from tests.cluster.installation import ray_environ  # unit tests need none of this
    from tests.cluster.ray_head import running_head

    with (
        tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as directory,
        running_head(Path(directory), ray_environ()) as head,
    ):
        yield head


def _admit_roles(home: Path) -> None:
    """Let the tests' roles log in without a password."""
    rules = home / "postgres" / "pg_hba.conf"
    rules.write_text("local all /^role_ trust\n" + rules.read_text())


@contextmanager
def database_like(server_url: str, template: str) -> Iterator[str]:
    """Create a copy of the database *template*, and drop it at the end."""
    name = f"test_{uuid.uuid4().hex}"
    new, old = sql.Identifier(name), sql.Identifier(template)
    with psycopg.connect(server_url, autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(new, old))
        try:
            yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
        finally:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(new))
