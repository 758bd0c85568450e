"""A live tail: time from Discord's event to the row that others see, rate, CPU and memory.

    uv run python tests/bench/bench_tail.py [--rates 100,1000,2000] [--seconds 30]

The tail is a process of its own, and so is the watcher, which reads new rows every 5 ms: a latency
is at most that much too long. Messages carry the time at which the emulator was told to post them.
Three in five events are messages, the others edits, reactions and deletions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

import psycopg
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec, Limits, World, generate_guild
from raysync.emulator.serving.emulator import Emulator
from raysync.emulator.serving.server import EmulatorThread
from raysync.models.entities import Privacy
from raysync.models.ids import GuildId
from raysync.store.connection.engine import open_engine
from raysync.store.server import migrate
from raysync.store.server.embedded import start_embedded, stop_embedded
from raysync.store.tenants import TenantStore

TOKEN, SLUG = "bench-token", "bench"
CHANNELS = 20
WATCH = """
import sys, time, psycopg, json
url, seconds = sys.argv[1], float(sys.argv[2])
found, last = [], 0
with psycopg.connect(url, autocommit=True) as c:
    last = c.execute("SELECT coalesce(max(platform_message_id), 0) FROM messages").fetchone()[0]
    print("ready", flush=True)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        rows = c.execute("SELECT platform_message_id, content FROM messages"
            " WHERE channel_id = ANY(ARRAY(SELECT id FROM channels))"
            " AND platform_message_id > %s AND live_at IS NOT NULL", (last,)).fetchall()
        now = time.time()
        for id_, content in rows:
            last = max(last, id_)
            if content.startswith("t="):
                found.append(now - float(content[2:].split()[0]))
        time.sleep(0.005)
json.dump(found, sys.stdout)
"""


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def act(emulator: Emulator, rate: float, seconds: float, seed: int) -> int:
    """Make events at a rate; return how many."""
    dice, edits = random.Random(seed), emulator.edits
    (guild,) = emulator.world.guilds.values()
    channels = [one.id for one in guild.channels.values() if one.type == 0][:CHANNELS]
    people = list(guild.user_ids) or [guild.owner_id]
    mine: list[tuple[int, int]] = []
    done, began_s = 0, time.monotonic()
    while (now_s := time.monotonic() - began_s) < seconds:
        while done < now_s * rate:
            done += 1
            what = dice.random()
            if what < 0.6 or len(mine) < 10:
                channel = dice.choice(channels)
                text = f"t={time.time():.4f} hello, this is message {done} of a busy server"
                mine.append((channel, edits.post_message(channel, text)))
                continue
            channel, message = dice.choice(mine[-200:])
            if what < 0.75:
                edits.edit_message(channel, message, f"edited {done}")
            elif what < 0.95:
                edits.add_reaction(channel, message, "👍", dice.choice(people))
            else:
                edits.delete_message(channel, message)
                mine.remove((channel, message))
        time.sleep(0.002)
    return done


@contextmanager
def laboratory() -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="raysync-bench-") as folder:
        home = Path(folder)
        url = start_embedded(home)
        migrate.upgrade(url)
        try:
            yield url, home
        finally:
            stop_embedded(home)


async def add_tenant(url: str, guild_id: int) -> None:
    engine = open_engine(url, pool_size=1, application_name="bench")
    await TenantStore(engine).add(
        SLUG, GuildId(guild_id), "Bench", "env:BENCH_TOKEN", Privacy.PSEUDONYMOUS
    )
    await engine.dispose()


def measure(rates: list[float], seconds: float) -> None:
    world = World(generate_guild(GuildSpec.uniform(CHANNELS, 100)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    with laboratory() as (url, home), EmulatorThread(world, limits=Limits.off()) as emulator:
        asyncio.run(add_tenant(url, guild_id))
        environment = {
            **os.environ,
            "RAYSYNC_HOME": str(home),
            "RAYSYNC_DISCORD_API_URL": emulator.url,
            "BENCH_TOKEN": TOKEN,
        }
        tail = subprocess.Popen(
            [sys.executable, "-m", "raysync", "tail", "--tenant", SLUG, "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert tail.stdout is not None
        for line in tail.stdout:
            if '"settled"' in line:
                break
        print("events/s | events | p50 ms | p99 ms | max ms | CPU µs/event | MB before, after")
        for rate in rates:
            print_rate(url, emulator, tail.pid, rate, seconds)
        tail.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        code = tail.wait()
        print(f"SIGTERM: exit code {code} after {time.monotonic() - began_s:.2f} s")


def print_rate(url: str, emulator: Emulator, pid: int, rate: float, seconds: float) -> None:
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCH, url.replace("+psycopg", ""), str(seconds + 4)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    watcher.stdout.readline()
    cpu, memory = cpu_s(pid), memory_mb(pid)
    done = act(emulator, rate, seconds, seed=int(rate))
    found = json.loads(watcher.communicate()[0])
    cpu = cpu_s(pid) - cpu
    cuts = quantiles(found, n=100)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT events FROM tenant_listening").fetchone()
    assert row is not None
    print(
        f"{rate:8.0f} | {done:6d} | {cuts[49] * 1e3:6.1f} | {cuts[98] * 1e3:6.1f} |"
        f" {max(found) * 1e3:6.1f} | {cpu / done * 1e6:6.0f} |"
        f" {memory:.0f}, {memory_mb(pid):.0f}   ({row[0]} events stored in all)"
    )


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_tail() -> None:
    measure([100.0, 1000.0, 2000.0], 20.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="100,1000,2000")
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    measure([float(each) for each in given.rates.split(",")], given.seconds)
