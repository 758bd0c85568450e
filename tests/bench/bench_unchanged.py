"""Requests of a run with few or no changes: 1,000 channels, 5,000 archived threads.

    uv run python tests/bench/bench_unchanged.py [--channels 1000] [--threads 5000]

Without limits, since only the requests are counted; at 48 a second they take as long as the last
column says.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec
from tests.bench.bench_pipeline import SETTINGS
from tests.bench.discord_process import UNLIMITED, Changes, Offer, discord_process
from tests.bench.figures import Run, aligned, machine
from tests.bench.harness import laboratory

BUDGET = 48.0
CHANGED = 10


def measure(channels: int, threads: int) -> None:
    """Print the requests of three runs, by route."""
    print(f"{channels:,} channels, {threads:,} archived threads; {machine()}", flush=True)
    spec = GuildSpec(
        text_channels=channels,
        text_messages=channels * 20,
        threads=threads,
        messages_per_thread=2,
        archived=1.0,
        end_ms=int(time.time() * 1000) - 30 * 86_400_000,
        span_days=700.0,
    )
    with (
        laboratory() as lab,
        discord_process(Offer(spec, UNLIMITED)) as discord,
        lab.archive(discord, SETTINGS) as start,
    ):
        runs = {"first": start(), "unchanged": start()}
        discord.change(Changes(0, 0, CHANGED))
        runs[f"{CHANGED} new messages"] = start()
    routes = sorted({request.route for run in runs.values() for request in run.requests})
    rows = [[route, *(f"{_count(run)[route]:,}" for run in runs.values())] for route in routes]
    rows.append(["all", *(f"{len(run.requests):,}" for run in runs.values())])
    rows.append(["seconds at 48/s", *(f"{len(r.requests) / BUDGET:.1f}" for r in runs.values())])
    print(aligned(["route", *runs], rows))


def _count(run: Run) -> Counter[str]:
    return Counter(request.route for request in run.requests)


@pytest.mark.timeout(900)
def test_unchanged() -> None:
    measure(100, 500)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--channels", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=5_000)
    given = parser.parse_args()
    measure(given.channels, given.threads)
