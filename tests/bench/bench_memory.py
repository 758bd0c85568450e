"""Peak memory of a worker for a channel of 1,000 and one of 500,000 messages.

Run it: PYTHONPATH=. python tests/bench/bench_memory.py [small] [large]. Each channel is read by
one worker in a run of its own. The emulator refuses nothing and its headers tell of a wide bucket,
or the worker would keep to the five pages in five seconds that it knows of Discord.
"""

from __future__ import annotations

import sys

import pytest

from raysync.emulator import EmulatorThread, GuildSpec, Limits, RouteLimit, World, generate_guild
from tests.checked_installation import Run, installed

SMALL, LARGE = 1_000, 500_000
GOAL_RATIO = 1.10
MB = 1_000_000
TOKEN = "bench"
PAGES = "GET /channels/{channel_id}/messages"
"""Largest bucket that a worker accepts as real rather than as a mask."""
WIDE = Limits(routes={PAGES: RouteLimit(99, 1.0)}, global_limit=10_000)


def run_of(messages: int) -> Run:
    """Sync one channel of *messages* messages with one worker."""
    world = World(generate_guild(GuildSpec.uniform(1, messages)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    with (
        EmulatorThread(world, limits=WIDE) as emulator,
        installed(emulator.url, TOKEN, guild_id, SYNC_GLOBAL_REQUESTS_PER_SECOND="1000") as archive,
    ):
        run = archive.start("--workers", "1")
    assert run.job["messages_processed"] == messages
    return run


def report(messages: int, run: Run) -> str:
    """Format the figures of one run."""
    rss_mb, uss_mb = run.workers.peak_rss_bytes / MB, run.workers.peak_uss_bytes / MB
    rate = messages / run.took_s
    return f"{messages:>9,} messages {rss_mb:8.1f} MB RSS {uss_mb:8.1f} MB its own {rate:8,.0f}/s"


def measure(small: int, large: int) -> float:
    """Print both peaks; return the larger of the two ratios."""
    runs = {messages: run_of(messages) for messages in (small, large)}
    for messages, run in runs.items():
        print(report(messages, run))
    one, other = runs[small].workers, runs[large].workers
    rss = other.peak_rss_bytes / one.peak_rss_bytes
    uss = other.peak_uss_bytes / one.peak_uss_bytes
    print(f"large over small: {rss:.3f} RSS, {uss:.3f} its own; the goal is {GOAL_RATIO}")
    return max(rss, uss)


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_a_workers_memory_does_not_depend_on_its_channels_size() -> None:
    assert measure(SMALL, LARGE) <= GOAL_RATIO


if __name__ == "__main__":
    chosen = [int(each) for each in sys.argv[1:3]] or [SMALL, LARGE]
    sys.exit(measure(*chosen) > GOAL_RATIO)
