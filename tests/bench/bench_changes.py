"""Cost of finding edits, deletions and new messages between two runs.

    uv run python tests/bench/bench_changes.py [--reconcile-requests 100]

The guild of `bench_mixed.py`, 40,270 messages. First all of it lies within the look-back; then all
of it is older, and is swept by a budget of requests a run.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench import bench_mixed
from tests.bench.discord_process import PAGES, Changes, Offer, discord_limits, discord_process
from tests.bench.figures import Run, aligned, machine
from tests.bench.harness import laboratory

EDITS, DELETES, POSTS = 400, 400, 145
EVERY = ("--archives-every", "0")  # it also changes messages of archived threads
SETTINGS = {
    "SYNC_GLOBAL_REQUESTS_PER_SECOND": "50",
    "SYNC_CHANNEL_PAGES_PER_SECOND": str(bench_mixed.PER_CHANNEL_PER_S),
}
DAY_MS = 86_400_000
HEAD = ["run", "seconds", "requests", "pages", "new", "edited", "deleted", "429s"]


def measure(reconcile_requests: int) -> None:
    """Print the changes that each run found, and its requests."""
    print(f"{machine()}", flush=True)
    now_ms = int(time.time() * 1000)
    with laboratory() as lab:
        young = replace(bench_mixed.SPEC, end_ms=now_ms - 7_200_000, span_days=6.0)
        offer = Offer(young, discord_limits(bench_mixed.PAGES))
        with discord_process(offer) as discord, lab.archive(discord, SETTINGS) as start:
            rows = [_row("first", start())]
            discord.change(Changes(EDITS, DELETES, POSTS))
            rows.append(_row("look-back of 7 days", start(*EVERY)))
            rows.append(_row("again", start(*EVERY)))
            rows.append(_row("again, --lookback 0", start("--lookback", "0")))
        print("\nAll of it within the look-back:\n\n" + aligned(HEAD, rows), flush=True)
        old = replace(bench_mixed.SPEC, end_ms=now_ms - 30 * DAY_MS)
        offer = Offer(old, discord_limits(bench_mixed.PAGES))
        with discord_process(offer) as discord, lab.archive(discord, SETTINGS) as start:
            first = start()
            rows = [_row("first", first)]
            discord.change(Changes(EDITS, DELETES, 0))
            pages = sum(math.ceil(size / 99) for size in _sizes(first))
            predicted = math.ceil(pages / reconcile_requests)
            found = 0
            while found < EDITS + DELETES and len(rows) < 4 * predicted + 4:
                run = start("--reconcile-requests", str(reconcile_requests), check=False)
                rows.append(_row(f"sweep {len(rows)}", run))
                found += sum(job["messages_edited"] + job["messages_deleted"] for job in run.jobs)
        print(f"\nOlder, {reconcile_requests} requests a run; predicted {predicted} runs:\n")
        print(aligned(HEAD, rows))


def _sizes(run: Run) -> list[int]:
    return [channel["messages_processed"] for job in run.jobs for channel in job["channel_results"]]


def _row(name: str, run: Run) -> list[str]:
    (job,) = run.jobs
    pages = sum(request.route == PAGES for request in run.requests)
    figures = [len(run.requests), pages]
    figures += [job[f"messages_{what}"] for what in ("added", "edited", "deleted")]
    return [name, f"{run.took_s:.2f}", *(f"{figure:,}" for figure in figures), str(run.refused)]


@pytest.mark.timeout(900)
def test_changes() -> None:
    measure(100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--reconcile-requests", type=int, default=100)
    measure(parser.parse_args().reconcile_requests)
