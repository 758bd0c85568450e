"""Many tokens in one tail: connections, memory and CPU at one event a second each.

    uv run python tests/bench/bench_tail_tokens.py [--tokens 1000] [--seconds 60]

Each token has a guild of its own, with two channels.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec, Limits, World, generate_guild
from raysync.emulator.serving.server import EmulatorThread
from raysync.models.entities import Privacy
from raysync.models.ids import GuildId
from raysync.store.connection.engine import open_engine
from raysync.store.tenants import TenantStore
from tests.bench.bench_tail import cpu_s, laboratory, memory_mb


async def add_tenants(url: str, guilds: list[int]) -> None:
    engine = open_engine(url, pool_size=1, application_name="bench")
    for number, guild_id in enumerate(guilds):
        await TenantStore(engine).add(
            f"t{number}", GuildId(guild_id), "Bench", f"env:BENCH_{number}", Privacy.PSEUDONYMOUS
        )
    await engine.dispose()


def sockets(pid: int) -> int:
    links = Path(f"/proc/{pid}/fd").iterdir()
    return sum(str(link.readlink()).startswith("socket:") for link in links)


def measure(tokens: int, seconds: float) -> None:
    world = World(*(generate_guild(GuildSpec.uniform(2, 10), seed) for seed in range(tokens)))
    guilds = list(world.guilds)
    for number, guild_id in enumerate(guilds):
        world.add_bot(f"token-{number}", [guild_id])
    with laboratory() as (url, home), EmulatorThread(world, limits=Limits.off()) as emulator:
        asyncio.run(add_tenants(url, guilds))
        environment = {
            **os.environ,
            "RAYSYNC_HOME": str(home),
            "RAYSYNC_DISCORD_API_URL": emulator.url,
            **{f"BENCH_{number}": f"token-{number}" for number in range(tokens)},
        }
        began_s = time.monotonic()
        tail = subprocess.Popen(
            [sys.executable, "-m", "raysync", "tail", "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert tail.stdout is not None
        listening = settled = 0
        for line in tail.stdout:
            listening += '"listening"' in line
            settled += '"settled"' in line
            if '"listening"' in line and listening == tokens:
                print(f"all listen after {time.monotonic() - began_s:.0f} s")
            if settled == tokens:
                break
        print(f"all are settled after {time.monotonic() - began_s:.0f} s")
        cpu, at_s = cpu_s(tail.pid), time.monotonic()
        time.sleep(10)
        idle = (cpu_s(tail.pid) - cpu) / (time.monotonic() - at_s)
        cpu, at_s, done = cpu_s(tail.pid), time.monotonic(), 0
        channels = [
            next(one.id for one in world.guilds[guild].channels.values() if one.log.ids)
            for guild in guilds
        ]
        while (now_s := time.monotonic() - at_s) < seconds:
            while done < now_s * tokens:
                emulator.edits.post_message(random.choice(channels), f"message {done}")
                done += 1
            time.sleep(0.005)
        busy = (cpu_s(tail.pid) - cpu) / (time.monotonic() - at_s)
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            for _ in range(100):
                row = connection.execute("SELECT sum(events) FROM tenant_listening").fetchone()
                if row is not None and row[0] >= done:
                    break
                connection.rollback()
                time.sleep(0.1)
        print(
            f"{tokens} tokens: {sockets(tail.pid)} sockets, {memory_mb(tail.pid):.0f} MB,"
            f" {idle * 100:.1f} % of a core idle,"
            f" {busy * 100:.0f} % at {done / seconds:.0f} events/s"
            f" ({done} events, {row[0] if row else 0} stored);"
            f" {emulator.gateway.identifies()} sessions begun"
        )
        tail.send_signal(signal.SIGTERM)
        at_s = time.monotonic()
        print(f"SIGTERM: exit code {tail.wait()} after {time.monotonic() - at_s:.1f} s")


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_tokens() -> None:
    measure(1000, 60.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    measure(given.tokens, given.seconds)
