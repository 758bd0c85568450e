"""One session of the gateway: connections one after another, and its events stored in order.

The position is committed with the events that it covers. So a process that is killed at any moment
leaves a session that its successor resumes exactly where the database stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from raysync.errors import (
    GatewayClosedError,
    RaysyncError,
    RetryableError,
    RunStoppedError,
)
from raysync.live.event_queue import RETRY_S, EventQueue, SessionPorts, retried
from raysync.live.guild_listener import GuildListener
from raysync.live.identifying import RESERVE, WITHIN_S, pause_s
from raysync.live.order import Order
from raysync.live.ports import Connection
from raysync.models.ids import GuildId
from raysync.models.live import Dispatch, Position, SessionLease

_log = logging.getLogger(__name__)

HOLE_S: Final = 3.0
"""Seconds after which a missing event is asked for by resuming the session before it."""
BEAT_S: Final = 10.0
HEARD_S: Final = 60.0
"""Silence after which the connection no longer counts as alive, in seconds; heartbeats are at
most 45 s apart."""
LEAVE_S: Final = 5.0
"""Seconds in which a session that ends stores what it has received."""
RESUMES_AT_ONE_URL: Final = 3
ABSENT: Final = "The bot is not in this server, so invite it."


class GatewaySession:
    """Listener with one token and shard, until it is stopped."""

    def __init__(
        self,
        ports: SessionPorts,
        lease: SessionLease,
        position: Position | None,
        guilds: Iterable[GuildListener],
        shards: int = 1,
    ) -> None:
        self._ports = ports
        self._lease = lease
        self._position = position
        self._guilds: Mapping[GuildId, GuildListener] = {one.guild_id: one for one in guilds}
        self._shards = shards
        self._order = Order(0 if position is None else position.sequence)
        self._queue = EventQueue(ports, lease, self._guilds)
        self._hole_at: int | None = None  #: hole before which the session was resumed
        self._is_interrupted = position is not None
        self._url: str | None = None
        self._failed_opens = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until *stop*, and leave a session that can be resumed.

        Raises:
            SessionTakenError: another process listens by now.
            ConfigurationError: no connection is possible until the user changes something.
        """
        for guild in self._guilds.values():
            opening = partial(guild.open, resumes=self._position is not None)
            await _unless_stopped(opening, stop)
        writing = asyncio.create_task(self._queue.write_for_ever())
        listening = asyncio.create_task(self._listen_for_ever(stop))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([writing, listening, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
            stopping.cancel()
            await asyncio.gather(listening, stopping, return_exceptions=True)
            if not writing.done():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_S):
                        await self._queue.all_stored()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        for task in (writing, listening):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _listen_for_ever(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                connection = await self._connect()
            except (RetryableError, RunStoppedError) as error:
                await self._note_closed(error)
                await asyncio.sleep(RETRY_S[min(self._failed_opens, len(RETRY_S) - 1)])
                self._failed_opens += 1
                continue
            try:
                await self._receive(connection)
            except RetryableError as error:
                await self._note_closed(error)
            finally:
                await asyncio.shield(connection.close())

    async def _connect(self) -> Connection:
        self._order.drop_held()
        if self._position is None:
            return await self._begin()
        position = replace(self._position, sequence=self._order.released)
        url = position.resume_url
        if self._failed_opens and self._failed_opens % RESUMES_AT_ONE_URL == 0:
            url = await self._gateway_url()  # the address of the session may be gone for good
        return await self._ports.gateway.connect(url, position, self._lease.shard, self._shards)

    async def _gateway_url(self) -> str:
        if self._url is None:
            self._url = (await self._ports.gateway.address()).url
        return self._url

    async def _begin(self) -> Connection:
        """Begin a session, as slowly as Discord's limit for sessions requires."""
        async with self._ports.beginning:  # shards of a token begin one after another
            while True:
                address = await self._ports.gateway.address()
                ages_s = await self._ports.identifies.identify_ages_s(
                    self._lease.fingerprint, WITHIN_S
                )
                wait_s = pause_s(ages_s, address.budget, self._shards)
                if wait_s <= 0:
                    break
                if address.budget.remaining <= RESERVE:
                    _log.warning(
                        "only %d sessions are left today, so the next one waits",
                        address.budget.remaining,
                        extra={"event": "identifies_low"},
                    )
                await asyncio.sleep(min(wait_s, 60.0))
            left = address.budget.remaining - 1
            await self._ports.identifies.note_identify(self._lease, left)
        self._ports.meter.identified(left)
        self._url = address.url
        return await self._ports.gateway.connect(address.url, None, self._lease.shard, self._shards)

    async def _receive(self, connection: Connection) -> None:
        beating = asyncio.create_task(self._beat_for_ever(connection))
        hole_s: float | None = None
        try:
            while True:
                await self._queue.room()
                try:
                    left_s = None if hole_s is None else max(hole_s - self._now_s(), 0.0)
                    async with asyncio.timeout(left_s):
                        dispatch = await connection.receive()
                except TimeoutError:
                    await self._fill_hole()
                    hole_s = None
                    continue
                self._take(dispatch)
                if dispatch.name == "RESUMED":
                    await self._resumed()
                if not self._order.is_incomplete:
                    hole_s = None
                elif self._order.is_hopeless:
                    await self._fill_hole()
                elif hole_s is None:
                    hole_s = self._now_s() + HOLE_S
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    def _now_s(self) -> float:
        return self._ports.clock.monotonic_s()

    def _take(self, dispatch: Dispatch) -> None:
        """Put an event in its place."""
        if dispatch.name == "READY":
            self._failed_opens, self._is_interrupted = 0, False
            session_id = str(dispatch.payload.get("session_id"))
            url = str(dispatch.payload.get("resume_gateway_url"))
            self._position = Position(session_id, url, dispatch.sequence)
            self._order = Order(dispatch.sequence - 1)
            self._hole_at = None
            self._tell_absent(dispatch.payload.get("guilds"))
        if self._position is not None:
            self._queue.put(self._position, self._order.add(dispatch))

    def _tell_absent(self, listed: Any) -> None:
        """Tell of guilds that the session will not hear, as the bot is not in them."""
        present = {str(one.get("id")) for one in listed or () if isinstance(one, dict)}
        for guild in self._guilds.values():
            if str(guild.guild_id) not in present:
                self._ports.note(guild, "interrupted", {"reason": ABSENT})

    async def _resumed(self) -> None:
        """Note that the session goes on where the last connection ended."""
        self._failed_opens = 0
        self._ports.meter.resumed()
        was_interrupted, self._is_interrupted = self._is_interrupted, False
        for guild in self._guilds.values():
            if guild.is_described and not guild.is_listening:  # a predecessor ended too early
                await self._queue.begin_listening(guild)
            elif guild.is_listening and was_interrupted:
                with suppress(RaysyncError):
                    await self._ports.listening.beat(guild.tenant_id)
                self._ports.note(guild, "resumed", {})

    async def _fill_hole(self) -> None:
        """Have the session repeat a missing event; a second time, count it as lost."""
        if self._hole_at != self._order.released:
            self._hole_at = self._order.released
            raise GatewayClosedError("An event is missing, so the session is resumed before it.")
        _log.warning("events were lost", extra={"event": "events_lost"})
        listening = [guild for guild in self._guilds.values() if guild.is_listening]
        await self._lose()
        if self._position is not None:
            self._queue.put(self._position, self._order.skip_hole())
        for guild in listening:  # what happens from now on is stored
            await self._queue.begin_listening(guild)

    async def _note_closed(self, error: RaysyncError) -> None:
        _log.info("%s", error, extra={"event": "gateway_closed"})
        self._ports.meter.closed()
        listening = [guild for guild in self._guilds.values() if guild.is_listening]
        if isinstance(error, GatewayClosedError) and not error.is_resumable:
            await self._queue.all_stored()  # as events of the session that is lost
            self._position = None
            await self._lose()
        if not self._is_interrupted:
            self._is_interrupted = True
            with suppress(RetryableError):
                await self._ports.listening.interrupt([one.tenant_id for one in listening])
            for guild in listening:
                self._ports.note(guild, "interrupted", {"reason": str(error)})

    async def _lose(self) -> None:
        """Note that a run has to find what happened."""
        for guild in self._guilds.values():
            guild.forget()
        await retried(
            lambda: self._ports.listening.lose([one.tenant_id for one in self._guilds.values()])
        )

    async def _beat_for_ever(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            if self._position is not None and self._queue.is_empty:
                connection.confirm(self._order.released)
            if self._now_s() - connection.heard_s > HEARD_S or self._is_interrupted:
                continue
            for guild in self._guilds.values():
                if guild.is_listening:
                    with suppress(RaysyncError):
                        minute = guild.tempo.minute(self._now_s())
                        await self._ports.listening.beat(guild.tenant_id, *minute)


async def _unless_stopped(call: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Repeat *call* until it succeeds, or until *stop*."""
    waiting = asyncio.create_task(retried(call))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            waiting.result()
    finally:
        for task in (waiting, stopping):
            task.cancel()
        await asyncio.gather(waiting, stopping, return_exceptions=True)
