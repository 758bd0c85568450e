"""A tail in this process, against an emulator, and what its user was told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.emulator import World
from raysync.emulator.serving.emulator import Emulator
from raysync.models.entities import Privacy, Tenant
from raysync.models.ids import GuildId
from raysync.models.live import TailNote
from raysync.run.tail import run_tail
from raysync.settings import Settings
from raysync.store.archive.export import export_lines
from raysync.store.tenants import TenantStore
from tests.truth import assert_same_archive, expected_rows, exported_rows

TOKEN = "token"
TOKEN_VARIABLE = "TAIL_TEST_TOKEN"
SLUG = "takaro"
WAIT_S = 20.0


async def until(condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Wait until *condition* holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


async def until_true(ask: Callable[[], Awaitable[bool]], timeout_s: float = WAIT_S) -> None:
    """Wait until the answer is yes."""
    async with asyncio.timeout(timeout_s):
        while not await ask():
            await asyncio.sleep(0.02)


@dataclass(slots=True)
class Tailed:
    """A tail under way, and the archive that it keeps."""

    engine: AsyncEngine
    world: World
    emulator: Emulator
    tenant: Tenant
    settings: Settings
    notes: list[TailNote] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def events(self) -> list[str]:
        return [note.event for note in self.notes]

    def start(self, *, every: bool = False) -> None:
        """Start a tail, as a process would, of the tenant or of *every* one."""
        self.stop = asyncio.Event()
        slugs = [] if every else [self.tenant.slug]
        self.task = asyncio.create_task(
            run_tail(slugs, self.settings, self.notes.append, self.stop)
        )

    async def has_said(self, event: str, times: int = 1, timeout_s: float = WAIT_S) -> None:
        """Wait until the tail has said *event* so many times; raise its error if it ends."""

        def said() -> bool:
            if self.task is not None and self.task.done():
                self.task.result()
            return self.events().count(event) >= times

        await until(said, timeout_s)

    async def end(self) -> None:
        """End the tail as SIGTERM does."""
        self.stop.set()
        if self.task is not None:
            await self.task

    async def kill(self) -> None:
        """End it as SIGKILL does, as far as one process can."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def query(self, statement: str, **values: Any) -> list[Any]:
        async with self.engine.connect() as connection:
            rows = await connection.execute(text(statement), {"tenant": self.tenant.id, **values})
            return list(rows.all())

    async def contents(self, channel_id: int) -> dict[int, str]:
        """Return the archive's present messages of a channel."""
        rows = await self.query(
            "SELECT platform_message_id, content FROM messages m JOIN channels c"
            " ON c.id = m.channel_id WHERE c.platform_channel_id = :channel"
            " AND m.deleted_at IS NULL",
            channel=channel_id,
        )
        return {row[0]: row[1] for row in rows}

    async def differs(self) -> str | None:
        """Return how the archive differs from the emulator's truth; None: it does not."""
        truth = self.world.truth(self.tenant.guild_id, TOKEN)
        chunks = [chunk async for chunk in export_lines(self.engine, self.tenant.id)]
        lines = b"".join(chunks).decode().splitlines()
        present = [row for row in exported_rows(lines) if row["deleted_at"] is None]
        try:
            assert_same_archive(expected_rows(truth), present)
        except AssertionError as error:
            return str(error) or "it differs"
        return None

    async def becomes_true(self, timeout_s: float = WAIT_S) -> None:
        """Wait until the archive equals the emulator's truth, or say how it differs."""
        try:
            await until_true(self.is_true, timeout_s)
        except TimeoutError:
            raise AssertionError(await self.differs()) from None

    async def is_true(self) -> bool:
        """Return whether the archive equals the emulator's truth."""
        return await self.differs() is None


@asynccontextmanager
async def tailed(
    engine: AsyncEngine, database_url: str, emulator: Emulator, home: Any, **settings: Any
) -> AsyncIterator[Tailed]:
    """Yield a tenant of the emulator's first guild, ready to be tailed."""
    (guild_id, *_) = emulator.world.guilds
    tenant = await TenantStore(engine).add(
        SLUG, GuildId(guild_id), "Takaro", f"env:{TOKEN_VARIABLE}", Privacy.PSEUDONYMOUS
    )
    made = Settings(
        RAYSYNC_HOME=home,
        RAYSYNC_DATABASE_URL=database_url,
        RAYSYNC_DISCORD_API_URL=emulator.url,
        RAYSYNC_SECRET_KEY="0123456789abcdef0123456789abcdef",
        SYNC_CHANNEL_PAGES_PER_SECOND=1000,
        SYNC_GLOBAL_REQUESTS_PER_SECOND=5000,
        **settings,
    )
    os.environ[TOKEN_VARIABLE] = TOKEN
    found = Tailed(engine, emulator.world, emulator, tenant, made)
    try:
        yield found
    finally:
        await found.kill()
        os.environ.pop(TOKEN_VARIABLE, None)
