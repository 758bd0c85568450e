"""A database server of each test's own, and the table of what survived."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysync.store.server import migrate
from tests.cluster.conftest import ray_head
from tests.cluster.installation import Installation, environ_of
from tests.cluster.ray_head import RayHead
from tests.faults.cells import Cell, own_database

__all__ = ["ray_head"]

CELLS = pytest.StashKey[list[Cell]]()


@pytest.fixture
def home() -> Iterator[Path]:
    """Where the server of this test lives; short, since its socket is in it."""
    with tempfile.TemporaryDirectory(prefix="rf-") as directory:
        yield Path(directory)


@pytest.fixture
def installation(home: Path, ray_head: RayHead, tmp_path: Path) -> Iterator[Installation]:
    """On a server that may be crashed, and on the tests' Ray."""
    with own_database(home) as url:
        migrate.upgrade(url)
        environ = environ_of(url, str(tmp_path)) | {"RAY_ADDRESS": ray_head.address}
        yield Installation(url, environ)


@pytest.fixture
def cells(request: pytest.FixtureRequest) -> list[Cell]:
    """Where a test says what became of its cell."""
    return request.config.stash.setdefault(CELLS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print fault by phase: seconds, pages read again; * where the run ended and was resumed."""
    cells = terminalreporter.config.stash.get(CELLS, [])
    if not cells:
        return
    terminalreporter.section("faults: seconds, pages read again (* ended, and resumed)")
    for each in sorted(cells, key=lambda cell: (cell.fault, cell.phase)):
        mark = " " if each.went_on else "*"
        terminalreporter.write_line(
            f"{each.fault:<20} {each.phase:<9} {each.took_s:6.1f} s {each.repeated:4} {mark}"
        )
