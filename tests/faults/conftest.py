"""A database server for each test, and the table of results."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysync.store.server import migrate
from tests.cluster.conftest import serve_tenant
from tests.cluster.installation import Installation, environ_of
from tests.cluster.ray_head import RayHead
from tests.faults.cells import Cell, own_database

__all__ = ["serve_tenant"]

CELLS = pytest.StashKey[list[Cell]]()


@pytest.fixture
def home() -> Iterator[Path]:
    """Create the directory of the test's server; short, because it contains a socket."""
    with tempfile.TemporaryDirectory(prefix="rf-") as directory:
        yield Path(directory)


@pytest.fixture
def installation(home: Path, ray_head: RayHead, tmp_path: Path) -> Iterator[Installation]:
    """Return raysync on a server that may be crashed, and on the shared Ray head."""
    with own_database(home) as url:
        migrate.upgrade(url)
        environ = environ_of(url, str(tmp_path)) | {"RAY_ADDRESS": ray_head.address}
        yield Installation(url, environ)


@pytest.fixture
def cells(request: pytest.FixtureRequest) -> list[Cell]:
    """Return the list to which a test adds its result."""
    return request.config.stash.setdefault(CELLS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print seconds and pages read again by fault and phase; * marks a run that was resumed."""
    cells = terminalreporter.config.stash.get(CELLS, [])
    if not cells:
        return
    terminalreporter.section("faults: seconds, pages read again (* ended, and resumed)")
    for cell in sorted(cells, key=lambda cell: (cell.fault, cell.phase)):
        mark = " " if cell.went_on else "*"
        terminalreporter.write_line(
            f"{cell.fault:<20} {cell.phase:<9} {cell.took_s:6.1f} s {cell.repeated:4} {mark}"
        )
