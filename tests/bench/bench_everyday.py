"""Everyday run: seconds from the command to Discord and back to the prompt.

    uv run python tests/bench/bench_everyday.py [--channels 45] [--repeat 5]

A guild under Discord's limits, synced once before anything is measured. Then runs that find nothing
new, and runs that find a few new messages; each with a Ray of its own, and with one that stays warm
between runs. Medians are printed. *waiting* is the command's time without the time
between its first and last request.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec
from tests.bench.discord_process import PAGES, Changes, Offer, discord_limits, discord_process
from tests.bench.figures import Run, aligned, machine
from tests.bench.harness import laboratory

CHANNELS, POSTS, REPEAT = 45, 20, 5
WARM_S = "120"
COLUMNS = (
    "first request",
    "first page",
    "requests took",
    "command",
    "waiting",
    "requests",
    "429s",
    "most in 1 s",
)


def measure(channels: int, repeat: int) -> None:
    """Print the medians of each kind of run."""
    print(f"{channels} channels, {repeat} runs of each kind; {machine()}", flush=True)
    spec = GuildSpec(
        text_channels=channels,
        text_messages=channels * 20,
        threads=channels,
        messages_per_thread=2,
        archived=1.0,
        end_ms=int(time.time() * 1000) - 30 * 86_400_000,
    )
    runs: dict[str, list[Run]] = {}
    for name, settings in {"cold": {}, "warm": {"RAYSYNC_LOCAL_RAY_IDLE_S": WARM_S}}.items():
        with (
            laboratory() as lab,
            discord_process(Offer(spec, discord_limits())) as discord,
            lab.archive(discord, settings) as start,
        ):
            start()
            runs[f"{name} Ray, nothing new"] = [start() for _ in range(repeat)]
            news = runs[f"{name} Ray, {POSTS} messages"] = []
            for turn in range(repeat):
                discord.change(Changes(edits=0, deletes=0, posts=POSTS, seed=turn))
                news.append(start())
    rows = [[kind, *_medians(measured)] for kind, measured in runs.items()]
    print(aligned(["median seconds", *COLUMNS], rows))


def _medians(runs: list[Run]) -> list[str]:
    seconds: tuple[Callable[[Run], float], ...] = (
        _until_first_request,
        _until_first_page,
        lambda run: run.took_s,
        lambda run: run.wall_s,
        lambda run: run.wall_s - run.took_s,
    )
    counts: tuple[Callable[[Run], float], ...] = (
        lambda run: len(run.requests),
        lambda run: run.refused,
        lambda run: run.most_in_a_second,
    )
    medians = [f"{statistics.median(map(of, runs)):.1f}" for of in seconds]
    return [*medians, *(f"{max(map(of, runs)):,.0f}" for of in counts)]


def _until_first_request(run: Run) -> float:
    return run.requests[0].at_s - run.began_s


def _until_first_page(run: Run) -> float:
    """Return the seconds until messages are asked for; 0 if they never are."""
    pages = (request.at_s for request in run.requests if request.route == PAGES)
    return next(pages, run.began_s) - run.began_s


@pytest.mark.timeout(900)
def test_everyday() -> None:
    measure(CHANNELS, REPEAT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--channels", type=int, default=CHANNELS)
    parser.add_argument("--repeat", type=int, default=REPEAT)
    given = parser.parse_args()
    measure(given.channels, given.repeat)
