"""Cost of a slow network: a smaller guild at 0, 100 and 300 ms per request.

    uv run python tests/bench/bench_latency.py [--workers 10] [--latency-ms 0,100,300] [--repeat N]

60 channels of 20 pages: enough of them under way to fill the budget at any of these latencies.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec
from tests.bench.cases import Case, Options, options, print_cases

CHANNELS, PAGES_EACH = 60, 20
TITLE = f"{CHANNELS} channels of {PAGES_EACH} pages"
CASE = Case(GuildSpec.uniform(CHANNELS, PAGES_EACH * 100), CHANNELS, baseline_channels=3)
DEFAULTS = Options(workers=(10,), latencies_ms=(0.0, 100.0, 300.0))


@pytest.mark.timeout(900)
def test_latency() -> None:
    print_cases(TITLE, CASE, DEFAULTS)


if __name__ == "__main__":
    print_cases(TITLE, CASE, options(__doc__, DEFAULTS))
