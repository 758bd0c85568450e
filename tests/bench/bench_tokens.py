"""Throughput of 1, 4 and 16 tokens at once, each with its own guild.

    uv run python tests/bench/bench_tokens.py [--tokens 1,4,16] [--workers 4]

Each guild has 30 channels of 4 pages, and each token its own 50 requests a second. The baseline
is one client for one guild, its first channels; reckoned for all guilds, one after the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec
from tests.bench.discord_process import Offer, discord_limits, discord_process
from tests.bench.figures import (
    CORES,
    DENSEST,
    MESSAGES,
    OWN_CORES,
    RATE,
    REFUSALS,
    REQUESTS,
    SECONDS,
    TOLD,
    WALL,
    WORKER_CORES,
    Run,
    machine,
    table,
)
from tests.bench.harness import laboratory

CHANNELS, PAGES_EACH, BASELINE_CHANNELS = 30, 4, 10
SPEC = GuildSpec.uniform(CHANNELS, PAGES_EACH * 100)
HELD = (SECONDS, MESSAGES, RATE, TOLD, REQUESTS, REFUSALS, DENSEST)
TAKEN = (CORES, WORKER_CORES, OWN_CORES, WALL)
TOKENS, WORKERS = (1, 4, 16), 4


def measure(tokens: Sequence[int], workers: int) -> None:
    """Measure every number of tokens, and print the table."""
    title = f"{CHANNELS} channels of {PAGES_EACH} pages a token, {workers} workers"
    print(f"{title}; {machine()}", flush=True)
    runs: dict[str, list[Run]] = {}
    with laboratory() as lab:
        for count in tokens:
            with discord_process(Offer(SPEC, discord_limits(), tokens=count)) as discord:
                if not runs:
                    one_s = lab.walk(discord, BASELINE_CHANNELS).took_s
                runs[str(count)] = [lab.sync(discord, workers)]
                print(f"  {count}: {runs[str(count)][0].took_s:.2f} s", flush=True)
    print(table("tokens", runs, *HELD, *TAKEN))
    guild_s = one_s * CHANNELS / BASELINE_CHANNELS
    print(f"\nOne discord.py client, channel after channel: {guild_s:.1f} s a guild.")
    for number, (run,) in runs.items():
        print(f"{number} tokens: {guild_s * int(number) / run.took_s:.1f} times faster.")


@pytest.mark.timeout(900)
def test_tokens() -> None:
    measure(TOKENS, WORKERS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", default=",".join(map(str, TOKENS)))
    parser.add_argument("--workers", type=int, default=WORKERS)
    given = parser.parse_args()
    measure([int(each) for each in given.tokens.split(",")], given.workers)
