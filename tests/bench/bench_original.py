"""Original case: 100 channels of 15 pages, each 10 s long at Discord's limits.

    uv run python tests/bench/bench_original.py [--workers 10] [--repeat N]

One after the other that is 1,000 s, in ten lanes 100 s. The baseline reads ten of the channels;
its time for all of them is reckoned from that.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec
from tests.bench.cases import Case, Options, options, print_cases

CHANNELS, PAGES_EACH = 100, 15
TITLE = f"{CHANNELS} channels of {PAGES_EACH} pages"
CASE = Case(GuildSpec.uniform(CHANNELS, PAGES_EACH * 100), CHANNELS, baseline_channels=10)
DEFAULTS = Options(workers=(10,))


@pytest.mark.timeout(900)
def test_original() -> None:
    print_cases(TITLE, CASE, DEFAULTS)


if __name__ == "__main__":
    print_cases(TITLE, CASE, options(__doc__, DEFAULTS))
