"""Efficiency at Discord's limits: 60 channels of 20 pages.

    uv run python tests/bench/bench_ceiling.py [--workers 1,2,4,10] [--latency-ms 0,100]
        [--form fixed,sliding,sliding-log] [--repeat N]

The pages alone demand 25 s at 48 requests a second. The baseline reads three channels; its time
for all of them is reckoned from that.
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
DEFAULTS = Options(workers=(1, 10))


@pytest.mark.timeout(900)
def test_ceiling() -> None:
    print_cases(TITLE, CASE, DEFAULTS)


if __name__ == "__main__":
    print_cases(TITLE, CASE, options(__doc__, DEFAULTS))
