"""Messages per second into PostgreSQL without limits, and CPU by process.

    uv run python tests/bench/bench_pipeline.py [--workers 1,2] [--repeat N]

100 channels of 1,000 messages. Rates and CPU are of the time from when every worker had its first
channel to the last request, so that no process's start is in them. Emulator, database, driver and
workers share the machine's cores, as in nobody's production. The baseline reads 40 channels. Each
case comes for a pseudonymous tenant and for a full one: what taking people out costs is between.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec
from raysync.models.entities import Privacy
from tests.bench.cases import Options, options
from tests.bench.discord_process import UNLIMITED, Offer, discord_process
from tests.bench.figures import Run, aligned, machine
from tests.bench.harness import laboratory

CHANNELS, MESSAGES_EACH, BASELINE_CHANNELS = 100, 1_000, 40
SPEC = GuildSpec.uniform(CHANNELS, MESSAGES_EACH)
BINDS_NOTHING = "10000"
SETTINGS = {
    "SYNC_GLOBAL_REQUESTS_PER_SECOND": BINDS_NOTHING,
    "SYNC_CHANNEL_PAGES_PER_SECOND": BINDS_NOTHING,
}
GROUPS = ("workers", "postgres", "emulator", "driver", "tracker", "governor", "ray", "baseline")
DEFAULTS = Options(workers=(1, 2))


def measure(chosen: Options) -> None:
    """Measure every case, and print the table."""
    print(f"{CHANNELS} channels of {MESSAGES_EACH:,} messages; {machine()}", flush=True)
    with laboratory() as lab, discord_process(Offer(SPEC, UNLIMITED)) as discord:
        runs: dict[str, list[Run]] = {}
        if chosen.baseline:
            runs["one discord.py client"] = [lab.walk(discord, BASELINE_CHANNELS)]
        for workers in chosen.workers:
            # in turn, so that what else the machine does meets both
            for privacy in (*Privacy,) * chosen.repeat:
                name = f"raysync, {workers} workers, {privacy}"
                runs.setdefault(name, []).append(lab.sync(discord, workers, SETTINGS, privacy))
                print(f"  {name}: {runs[name][-1].took_s:.1f} s", flush=True)
    rows = [[name, *_figures(each)] for name, each in runs.items()]
    print(aligned(["µs of CPU a message", "messages/s", *GROUPS, "all"], rows))


def _figures(runs: Sequence[Run]) -> list[str]:
    """Return medians of the steady rate and of each group's CPU per message."""
    measured = [_steady(run) for run in runs]
    return [f"{statistics.median(each):,.0f}" for each in zip(*measured, strict=True)]


def _steady(run: Run) -> list[float]:
    from_s, to_s = run.steady()
    messages = run.pages_between(from_s, to_s) * 100
    spent_s = run.cpu.between(from_s, to_s)
    each_us = [spent_s.get(group, 0.0) / messages * 1e6 for group in GROUPS]
    return [messages / (to_s - from_s), *each_us, sum(each_us)]


@pytest.mark.timeout(900)
def test_pipeline() -> None:
    measure(DEFAULTS)


if __name__ == "__main__":
    measure(options(__doc__, DEFAULTS))
