"""Every fault in every phase: no message is lost, and none is stored twice.

One phase of a few faults runs by default, all with `-m slow`; killed processes and signals have
tests of their own in `tests/cluster`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.installation import Installation
from tests.cluster.ray_head import RayHead
from tests.faults.cells import FAULTS, PHASES, Cell, run_cell

QUICK = {"database away": "page"}  # tests/store/test_engine.py crashes the server, too


@pytest.mark.parametrize(
    ("fault", "phase"),
    [
        pytest.param(
            fault,
            phase,
            id=f"{fault} in {phase}",
            marks=() if QUICK.get(fault) == phase else pytest.mark.slow,
        )
        for fault in FAULTS
        for phase in PHASES
    ],
)
def test_nothing_is_lost(
    fault: str,
    phase: str,
    installation: Installation,
    ray_head: RayHead,
    home: Path,
    cells: list[Cell],
) -> None:
    cells.append(run_cell(fault, phase, installation, ray_head, home))
