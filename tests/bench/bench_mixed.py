"""Guild whose channels allow five pages a second, so that only the token's 50 a second limit.

    uv run python tests/bench/bench_mixed.py [--workers 1,2,4] [--budget 50] [--repeat N]

20 channels of 2,000 messages and 9 threads of 270 together: 40,270 messages. The baseline reads
four of the channels and no thread; its time for all channels is reckoned from that.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec, RouteLimit
from tests.bench.cases import Case, Options, options, print_cases
from tests.bench.discord_process import discord_limits

CHANNELS, THREADS, THREAD_MESSAGES, PER_CHANNEL_PER_S = 20, 9, 30, 5
SPEC = GuildSpec(
    text_channels=CHANNELS,
    text_messages=CHANNELS * 2_000,
    threads=THREADS,
    messages_per_thread=THREAD_MESSAGES,
    archived=0.5,
    content_bytes=420,
    span_days=700.0,
)
PAGES = RouteLimit(PER_CHANNEL_PER_S, 1.0)
TITLE = f"{CHANNELS} channels of 20 pages, {THREADS} threads, {PER_CHANNEL_PER_S} pages/s a channel"
CASE = Case(
    SPEC,
    CHANNELS,
    baseline_channels=4,
    limits=lambda form: discord_limits(PAGES, form),
    channel_pages_per_s=PER_CHANNEL_PER_S,
)
DEFAULTS = Options(workers=(1, 2, 4), budget=50.0)


@pytest.mark.timeout(900)
def test_mixed() -> None:
    print_cases(TITLE, CASE, DEFAULTS)


if __name__ == "__main__":
    print_cases(TITLE, CASE, options(__doc__, DEFAULTS))
