"""Queue of a session's events, which are stored in batches, each with its position."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from raysync.clock import Clock
from raysync.errors import (
    ConfigurationError,
    RaysyncError,
    RetryableError,
    RulesChangedError,
    safe_message,
)
from raysync.live.guild_listener import GuildListener
from raysync.live.ports import EventStore, GatewaySource, IdentifyLog, ListeningLog
from raysync.live.tempo import TailMeter, Unmeasured, lag_ms
from raysync.models.ids import GuildId
from raysync.models.live import Dispatch, Position, SessionLease, TenantBatch

_log = logging.getLogger(__name__)

BATCH_S: Final = 0.05
"""Least time between two transactions, in seconds."""
BATCH_EVENTS: Final = 500
BACKLOG_EVENTS: Final = 20_000
"""Number of events that wait for the database before no more are received."""
RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses between attempts, in seconds."""


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """The world as a session sees it."""

    gateway: GatewaySource
    events: EventStore
    identifies: IdentifyLog
    listening: ListeningLog
    clock: Clock
    guild_of: Callable[[Dispatch], GuildId | None]
    note: Callable[[GuildListener, str, dict[str, Any]], None]  #: what the user is told
    meter: TailMeter = field(default_factory=Unmeasured)
    beginning: asyncio.Lock = field(default_factory=asyncio.Lock)  #: held to begin a session


class EventQueue:
    """Events on their way to the database, in the order of the session."""

    def __init__(
        self, ports: SessionPorts, lease: SessionLease, guilds: Mapping[GuildId, GuildListener]
    ) -> None:
        self._ports = ports
        self._lease = lease
        self._guilds = guilds
        self._waiting: list[Dispatch] = []
        self._position: Position | None = None
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._stored = asyncio.Condition()

    @property
    def is_empty(self) -> bool:
        """True if everything that came is stored."""
        return not self._waiting

    def put(self, position: Position, dispatches: Iterable[Dispatch]) -> None:
        """Add events of the session of *position*. Those of an earlier session must be stored."""
        self._position = position
        self._waiting.extend(dispatches)
        if self._waiting:
            self._arrived.set()
        if len(self._waiting) > BACKLOG_EVENTS:
            self._has_room.clear()

    async def room(self) -> None:
        """Wait until more events may come."""
        await self._has_room.wait()

    async def all_stored(self) -> None:
        """Wait until everything that came is stored."""
        async with self._stored:
            await self._stored.wait_for(lambda: not self._waiting)

    async def write_for_ever(self) -> None:
        """Store the events. Raises SessionTakenError where another process listens by now."""
        now_s, written_s = self._ports.clock.monotonic_s, 0.0
        while True:
            await self._arrived.wait()
            if len(self._waiting) < BATCH_EVENTS:
                await asyncio.sleep(max(written_s + BATCH_S - now_s(), 0.0))
            batch = self._waiting[:BATCH_EVENTS]
            if self._position is not None:
                await self._write(batch, self._position)
            written_s = now_s()
            async with self._stored:
                del self._waiting[: len(batch)]
                if not self._waiting:
                    self._arrived.clear()
                if len(self._waiting) < BACKLOG_EVENTS:
                    self._has_room.set()
                self._stored.notify_all()

    async def _write(self, dispatches: Sequence[Dispatch], of: Position) -> None:
        """Store events. One that the store refuses for no known reason holds up no others."""
        by_guild: dict[GuildListener, list[Dispatch]] = {}
        for dispatch in dispatches:
            guild_id = self._ports.guild_of(dispatch)
            guild = None if guild_id is None else self._guilds.get(guild_id)
            if guild is not None:
                by_guild.setdefault(guild, []).append(dispatch)
        position = replace(of, sequence=dispatches[-1].sequence)
        try:
            await retried(lambda: self._store(by_guild, position))
        except RaysyncError:
            raise
        except Exception as error:  # noqa: BLE001 the cause is unknown: halving looks for the event
            if len(dispatches) == 1:
                place = {"event": "event_refused", "name": dispatches[0].name}
                _log.warning("an event is left out: %s", safe_message(error), extra=place)
                await retried(lambda: self._store({}, position))
                await self._lose_some(by_guild)
                return
            middle = len(dispatches) // 2
            await self._write(dispatches[:middle], of)
            await self._write(dispatches[middle:], of)
            return
        self._measure(by_guild, dispatches)
        for guild in by_guild:
            if guild.is_renewed:
                await self.begin_listening(guild)

    def _measure(
        self, by_guild: Mapping[GuildListener, Sequence[Dispatch]], every: Sequence[Dispatch]
    ) -> None:
        now, now_s = self._ports.clock.now(), self._ports.clock.monotonic_s()
        for dispatch in every:
            self._ports.meter.event(dispatch.name)
        self._ports.meter.batch(len(every), lag_ms(every, now, now_s) / 1000)
        for guild, events in by_guild.items():
            guild.tempo.stored(len(events), lag_ms(events, now, now_s), now_s)

    async def _lose_some(self, guilds: Iterable[GuildListener]) -> None:
        """Have a run find what an event told that could not be stored."""
        for guild in guilds:
            if guild.is_listening:
                await retried(partial(self._ports.listening.lose, [guild.tenant_id]))
                await self.begin_listening(guild)

    async def _store(
        self, by_guild: Mapping[GuildListener, Sequence[Dispatch]], position: Position
    ) -> None:
        """Store the events, once more where rules on people were changed meanwhile."""
        while True:
            present = {one: events for one, events in by_guild.items() if not one.is_removed}
            read = {guild: guild.batches(events) for guild, events in present.items()}
            for guild, batches in read.items():
                await guild.record_channels(batches)
            every: list[TenantBatch] = [batch for batches in read.values() for batch in batches]
            try:
                await self._ports.events.write(self._lease, position, every)
            except RulesChangedError:
                for guild in present:
                    await guild.renew_rules()
                continue
            for guild, batches in read.items():
                await guild.mark_gone(batches)
            return

    async def begin_listening(self, guild: GuildListener) -> None:
        """Note that everything that happens to the guild from now on is stored."""
        guild.is_renewed = False
        guild.is_listening = guild.needs_settling = True
        await retried(lambda: self._ports.listening.begin([guild.tenant_id]))
        self._ports.note(guild, "listening", {})


async def retried(call: Callable[[], Awaitable[object]]) -> None:
    """Repeat *call* until the database takes it: no event may be passed over.

    What only a user can correct is waited for, too, as the end of a rotation of pseudonyms.
    """
    attempt = 0
    while True:
        try:
            await call()
        except (RetryableError, ConfigurationError) as error:
            _log.warning("the tail waits: %s", error, extra={"event": "tail_waits"})
        else:
            return
        await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
        attempt += 1
