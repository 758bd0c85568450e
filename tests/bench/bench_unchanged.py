"""Requests of a run with few or no changes: 1,000 channels, 5,000 archived threads.

    uv run python tests/bench/bench_unchanged.py [--channels 1000] [--threads 5000] [--hours]

Without limits, since only the requests are counted; at 48 a second they take as long as the last
line says. `--hours` counts the runs of a window of `--archives-every` instead, an hour apart: the
engine in this process, with a clock that jumps.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.clock import SystemClock
from raysync.emulator import EmulatorThread, GuildSpec, World, generate_guild
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.run.requests import DEFAULT_ARCHIVES_EVERY_S, DEFAULT_LOOKBACK_S
from raysync.store.connection.engine import open_engine
from tests.archive import Archive
from tests.bench.bench_pipeline import SETTINGS
from tests.bench.discord_process import UNLIMITED, Changes, Offer, discord_process
from tests.bench.figures import Run, aligned, machine
from tests.bench.harness import laboratory

BUDGET = 48.0
CHANGED = 10
TOKEN = "a-token"


def measure(channels: int, threads: int) -> None:
    """Print the requests of three runs, by route."""
    print(f"{channels:,} channels, {threads:,} archived threads; {machine()}", flush=True)
    with (
        laboratory() as lab,
        discord_process(Offer(_spec(channels, threads), UNLIMITED)) as discord,
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


def _spec(channels: int, threads: int) -> GuildSpec:
    return GuildSpec(
        text_channels=channels,
        text_messages=channels * 20,
        threads=threads,
        messages_per_thread=2,
        archived=1.0,
        end_ms=int(time.time() * 1000) - 30 * 86_400_000,
        span_days=700.0,
    )


def _count(run: Run) -> Counter[str]:
    return Counter(request.route for request in run.requests)


def measure_hours(channels: int, threads: int) -> None:
    """Print the requests of hourly runs of an unchanged guild."""
    print(f"{channels:,} channels, {threads:,} archived threads; {machine()}", flush=True)
    rows = []
    with laboratory() as lab, lab.database() as url:
        for name, counts in asyncio.run(_hours(url, _spec(channels, threads))).items():
            mean = sum(counts) / len(counts)
            rows.append([name, f"{min(counts):,}", f"{mean:,.0f}", f"{max(counts):,}"])
            rows[-1].append(f"{mean / BUDGET:.1f}")
    print(aligned(["run", "least", "mean", "most", "seconds at 48/s"], rows))


async def _hours(url: str, spec: GuildSpec) -> dict[str, list[int]]:
    every_run = SyncWindow(SyncType.INCREMENTAL, lookback_s=DEFAULT_LOOKBACK_S)
    window = replace(every_run, archives_every_s=DEFAULT_ARCHIVES_EVERY_S)
    world = World(generate_guild(spec))
    world.add_bot(TOKEN)
    engine = open_engine(url, pool_size=25, application_name="raysync bench")
    try:
        with EmulatorThread(world, limits=UNLIMITED) as emulator:
            archive = Archive(engine, emulator.url, TOKEN, 100)
            await archive.add(next(iter(world.guilds)))
            clock = archive.clock = JumpingClock()

            async def count(asked: SyncWindow, jump_s: float) -> int:
                clock.ahead += timedelta(seconds=jump_s)
                emulator.log.reset()
                end = await archive.run(asked)
                assert end.status is JobStatus.COMPLETED, end.troubles
                return len(emulator.log.entries)

            hours = int(DEFAULT_ARCHIVES_EVERY_S / 3600)
            return {
                "--full": [await count(replace(window, sync_type=SyncType.FULL), 0)],
                "a minute later": [await count(window, 60)],
                "hourly": [await count(window, 3600) for _ in range(hours)],
                "--archives-every 0": [await count(every_run, 3600)],
            }
    finally:
        await engine.dispose()


class JumpingClock(SystemClock):
    """The machine's clock, and the time that was skipped."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.mark.timeout(900)
def test_unchanged() -> None:
    measure(100, 500)


@pytest.mark.timeout(900)
def test_unchanged_for_hours() -> None:
    measure_hours(100, 500)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--channels", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=5_000)
    parser.add_argument("--hours", action="store_true")
    given = parser.parse_args()
    (measure_hours if given.hours else measure)(given.channels, given.threads)
