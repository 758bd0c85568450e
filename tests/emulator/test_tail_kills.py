"""Kills of everything that a tail needs, while people write: nothing lost, doubled, resurrected."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from raysync.emulator import GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.gateway.faults import DeliveryFault, GatewayRule
from tests.tailing import SLUG, TOKEN, TOKEN_VARIABLE, Tailed, tailed

pytestmark = pytest.mark.emulator

EDITS_A_SECOND = 50
EMOJIS = ("👍", "🎉", "❤️")


SCALED = """
import raysync.sync.window, raysync.live.settle_loop as loop
raysync.sync.window.LATE_ARRIVAL_S, loop.YOUNG_S, loop.DOUBTS_S = 5.0, 12.0, 5.0
loop.RETRY_S = 2.0
from raysync.__main__ import main
main()
"""
"""A tail whose minutes are seconds: how long a message counts as young, and what follows."""


class Crowd:
    """People who write, edit, delete and react, at a steady pace."""

    def __init__(self, world: World, edits: Any, seed: int) -> None:
        self.dice = random.Random(seed)
        self.edits = edits
        (guild,) = world.guilds.values()
        self.people = list(guild.user_ids) or [guild.owner_id]
        self.channels = [one for one in guild.channels.values() if one.type in (0, 5)]
        self.mine: list[tuple[int, int]] = []  # (channel, message) of this test
        self.done = 0
        self.deleted: set[int] = set()

    def act(self) -> None:
        """Do one thing."""
        dice, edits = self.dice, self.edits
        self.done += 1
        what = dice.random()
        if what < 0.4 or not self.mine:
            channel = dice.choice(self.channels)
            message_id = edits.post_message(channel.id, f"message {self.done}")
            self.mine.append((channel.id, message_id))
            return
        channel_id, message_id = dice.choice(self.mine[-300:])
        if what < 0.6:
            edits.edit_message(channel_id, message_id, f"edit {self.done}")
        elif what < 0.72:
            edits.delete_message(channel_id, message_id)
            self.mine.remove((channel_id, message_id))
            self.deleted.add(message_id)
        elif what < 0.75:
            several = [one for one in self.mine[-40:] if one[0] == channel_id][:5]
            edits.delete_messages(channel_id, [one[1] for one in several])
            for one in several:
                self.mine.remove(one)
                self.deleted.add(one[1])
        elif what < 0.95:
            emoji, person = dice.choice(EMOJIS), dice.choice(self.people)
            if not edits.add_reaction(channel_id, message_id, emoji, person):
                edits.remove_reaction(channel_id, message_id, emoji, person)
        elif what < 0.97:
            edits.clear_reactions(channel_id, message_id)
        else:
            edits.pin_message(channel_id, message_id)

    async def work(self) -> None:
        """Act until cancelled."""
        loop = asyncio.get_running_loop()
        began_s, acted = loop.time(), 0
        while True:
            while acted < (loop.time() - began_s) * EDITS_A_SECOND:
                self.act()
                acted += 1
            await asyncio.sleep(0.01)


class Process:
    """A tail as a process of its own, which can be killed."""

    def __init__(self, tail: Tailed, url: str, log: Any) -> None:
        self._log = log
        self._environment = {
            **os.environ,
            "RAYSYNC_HOME": str(tail.settings.home),
            "RAYSYNC_DATABASE_URL": url,
            "RAYSYNC_DISCORD_API_URL": tail.emulator.url,
            "RAYSYNC_SECRET_KEY": "0123456789abcdef0123456789abcdef",
            "SYNC_CHANNEL_PAGES_PER_SECOND": "1000",
            "SYNC_GLOBAL_REQUESTS_PER_SECOND": "5000",
            TOKEN_VARIABLE: TOKEN,
        }
        self.process: asyncio.subprocess.Process | None = None
        self.said: list[str] = []
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SCALED, "tail", "--tenant", SLUG, "--json",
            env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode())

    def count(self, event: str) -> int:
        return sum(f'"event":"{event}"' in line for line in self.said)

    async def has_said(self, *events: str, more_than: int = 0) -> None:
        async with asyncio.timeout(60):
            while sum(map(self.count, events)) <= more_than:
                assert self.process is not None
                assert self.process.returncode is None, "the tail ended"
                await asyncio.sleep(0.02)

    async def end(self, number: int) -> int:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await self.process.wait()


@pytest.fixture
async def tail(engine, database_url, tmp_path) -> AsyncIterator[Tailed]:
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot(TOKEN)
    async with (
        serve(world, limits=Limits.off()) as emulator,
        tailed(engine, database_url, emulator, tmp_path) as tail,
    ):
        yield tail


async def terminate_backends(tail: Tailed) -> None:
    """Break every connection to the database, as a server that crashes does."""
    await tail.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


KINDS = ("process", "socket", "opcode 7", "opcode 9", "resume refused", "close", "database",
         "drop", "duplicate", "reorder", "delay")  # fmt: skip


async def stage(kind: str, tail: Tailed, process: Process) -> None:
    """Stage one fault, and bring the tail back where it needs that."""
    gateway = tail.emulator.gateway
    match kind:
        case "process":
            before = process.count("resumed") + process.count("listening")
            await process.end(signal.SIGKILL)
            await process.start()
            await process.has_said("resumed", "listening", more_than=before)
        case "socket":
            gateway.reset_sockets()
        case "opcode 7":
            gateway.reconnect_all()
        case "opcode 9":
            gateway.invalidate(resumable=True)
        case "resume refused":
            gateway.refuse_resumes(1)
            gateway.reset_sockets()
        case "close":
            gateway.close_all(4000)
        case "database":
            with contextlib.suppress(Exception):
                await terminate_backends(tail)
        case _:
            gateway.faults.add(GatewayRule(DeliveryFault(kind), times=5))


async def prove(tail: Tailed, url: str, log_path: Path, plan: list[str], seed: int) -> None:
    """Stage the faults of *plan* while a crowd acts; then the archive equals the truth."""
    # Discord's limit of sessions is another test's: here each fault may cost one
    tail.emulator.gateway.change(identify_window_s=0.0, session_limit=100_000)
    crowd = Crowd(tail.world, tail.emulator.edits, seed)
    with log_path.open("wb") as log:
        async with running(Process(tail, url, log)) as process:
            await prove_by(process, tail, crowd, plan)
    rows = await tail.query(
        "SELECT platform_message_id AS id FROM messages WHERE deleted_at IS NULL"
    )
    assert not crowd.deleted & {row.id for row in rows}, "a deleted message is back"


async def prove_by(process: Process, tail: Tailed, crowd: Crowd, plan: list[str]) -> None:
    await process.has_said("settled")
    working = asyncio.create_task(crowd.work())
    for kind in plan:
        await asyncio.sleep(crowd.dice.uniform(0.05, 0.5))
        await stage(kind, tail, process)
    tail.emulator.gateway.faults.clear()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    crowd.act()
    await tail.becomes_true(timeout_s=180)
    assert await process.end(signal.SIGTERM) == 0


@contextlib.asynccontextmanager
async def running(process: Process) -> AsyncIterator[Process]:
    """Start the process, and leave none behind."""
    await process.start()
    try:
        yield process
    finally:
        await process.end(signal.SIGKILL)


@pytest.mark.timeout(300)
async def test_after_kills_of_every_kind_the_archive_is_true(tail, database_url, tmp_path) -> None:
    plan = [kind for kind in KINDS if kind != "resume refused"]
    await prove(tail, database_url, tmp_path / "tail.log", plan, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
async def test_after_a_hundred_kills_the_archive_is_true(
    tail, database_url, tmp_path, seed
) -> None:
    dice = random.Random(seed)
    kinds = [kind for kind in KINDS if kind != "resume refused"]
    plan = [dice.choice(kinds) for _ in range(98)] + ["resume refused"] * 2
    dice.shuffle(plan)
    await prove(tail, database_url, tmp_path / "tail.log", plan, seed)
