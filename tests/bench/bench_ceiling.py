"""How near raysync comes to Discord's limits: 60 channels of 20 pages.

    uv run python tests/bench/bench_ceiling.py [--workers 1,2,4,10] [--latency-ms 0,100]
        [--form fixed,sliding,sliding-log] [--repeat N]

The bound is 25 s: 1,200 pages at 48 requests a second. The baseline reads three channels; its
time for all of them is reckoned from that.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec
from tests.bench.cases import Case, Options, measure_cases, options
from tests.bench.figures import (
    DENSEST,
    REFUSALS,
    REQUESTS,
    SECONDS,
    TOLD,
    WALL,
    efficiency_at,
    machine,
    table,
)

CHANNELS, PAGES_EACH, BUDGET = 60, 20, 48.0
CASE = Case(GuildSpec.uniform(CHANNELS, PAGES_EACH * 100), CHANNELS, baseline_channels=3)
DEFAULTS = Options(workers=(1, 10))


def measure(chosen: Options) -> None:
    """Run every case, and print the table."""
    print(f"{CHANNELS} channels of {PAGES_EACH} pages; {machine()}", flush=True)
    measured = measure_cases(CASE, chosen)
    columns = (SECONDS, efficiency_at(BUDGET), TOLD, REQUESTS, REFUSALS, DENSEST, WALL)
    print(table("global limit, latency, workers", measured.runs, *columns))
    print(measured.compared())


@pytest.mark.timeout(900)
def test_ceiling() -> None:
    measure(DEFAULTS)


if __name__ == "__main__":
    measure(options(__doc__, DEFAULTS))
