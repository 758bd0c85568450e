"""One token of a tail: its sessions, and the tenants whose guilds they hear."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol

from raysync.clock import SystemClock
from raysync.credentials import token_fingerprint
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.live_events import EventReader, guild_of
from raysync.discord_api.people.pseudonyms import pseudonymizer_for
from raysync.errors import (
    ContentIntentError,
    GuildUnavailableError,
    RaysyncError,
    TailRunningError,
)
from raysync.live.event_queue import SessionPorts
from raysync.live.guild_listener import GuildListener
from raysync.live.ports import ReadingRules
from raysync.live.session import GatewaySession
from raysync.live.settle_loop import SettleLoop
from raysync.live.tempo import TailMeter
from raysync.models.audit import AuditAction
from raysync.models.entities import Tenant
from raysync.models.extras import Extras
from raysync.models.ids import JobId
from raysync.models.live import GuildSeen, Position, SessionLease
from raysync.models.privacy import PeopleRules, Retention
from raysync.operators import operator_name
from raysync.run.keys import RunKeys
from raysync.run.settling import SettleRuns
from raysync.store.archive.channels import ChannelStore
from raysync.store.connection.audit import AuditLog
from raysync.store.connection.engine import Engine
from raysync.store.connection.locks import Lease
from raysync.store.live.listening import ListeningStore
from raysync.store.live.sessions import SessionStore
from raysync.store.live.writer import LiveWriter
from raysync.store.tenants import TenantStore
from raysync.worker.channel_worker import ChannelWorker

FORGET_OLD_S: Final = 600.0
"""Seconds between deletions of old marks."""
_SHARD_BITS: Final = 22

Held = tuple[Lease, SessionLease, Position | None]
"""The right to listen with a shard, and where its session stands."""


class TailParts(Protocol):
    """What the tokens of a tail share."""

    engine: Engine
    keys: RunKeys
    clock: SystemClock
    sessions: SessionStore
    listening: ListeningStore
    writer: LiveWriter
    worker: ChannelWorker
    settling: SettleRuns
    meter: TailMeter
    turn: asyncio.Semaphore
    guilds: list[GuildListener]

    def note(self, slug: str, event: str, details: Mapping[str, Any]) -> None:
        """Tell the user."""
        ...


def shard_of(tenant: Tenant, shards: int) -> int:
    """Return the shard that hears the tenant's guild."""
    return (tenant.guild_id >> _SHARD_BITS) % shards


async def together(calls: Sequence[Awaitable[None]]) -> None:
    """Run *calls* side by side. The first error ends the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        for ended in asyncio.as_completed(tasks):
            await ended
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class TokenTail:
    """Sessions of one token, with the tenants whose guilds they hear."""

    tail: TailParts
    tenants: Sequence[Tenant]
    fingerprint: str = ""
    _first: Held | None = None
    _ports: SessionPorts = field(init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until *stop*: one session, or as many as Discord asks for.

        Raises:
            TailRunningError: another process listens with the token.
            ConfigurationError: no session is possible until the user changes something.
        """
        tail, first = self.tail, self.tenants[0]
        self.fingerprint = token_fingerprint(tail.keys.secret, tail.keys.tokens[first.id])
        async with AsyncExitStack() as stack:
            held = await self._take(stack, 0, 1)  # before any request: a second tail is refused
            client = await self._client(stack)
            shards = (await client.gateway.address()).shards
            self._ports = self._session_ports(client)
            await self._audit(AuditAction.TAIL_BEGUN)
            try:
                sessions = []
                for shard in range(shards):
                    tenants = [one for one in self.tenants if shard_of(one, shards) == shard]
                    if shards > 1:
                        held = await self._take(stack, shard, shards)
                    if tenants:
                        sessions.append(self._listen(tenants, client, held, shards, stop))
                await together(sessions)
            finally:
                with suppress(RaysyncError):
                    await self._audit(AuditAction.TAIL)

    async def _take(self, stack: AsyncExitStack, shard: int, shards: int) -> Held:
        if shard == 0 and self._first is not None:  # held already, by another number of shards
            lock, _, _ = self._first
            await self.tail.sessions.release(lock)
        held = await self.tail.sessions.take(self.fingerprint, shard, shards)
        if shard == 0:
            self._first = held
        stack.push_async_callback(self.tail.sessions.release, held[0])
        return held

    async def _listen(
        self,
        tenants: Sequence[Tenant],
        client: DiscordClient,
        held: Held,
        shards: int,
        stop: asyncio.Event,
    ) -> None:
        """Listen with one session, and settle its tenants beside it."""
        tail, (lock, lease, position) = self.tail, held
        guilds = {tenant.id: self._listener(tenant, client) for tenant in tenants}
        tail.guilds.extend(guilds.values())
        session = GatewaySession(self._ports, lease, position, guilds.values(), shards)
        loops = [
            SettleLoop(
                guilds[tenant.id], tail.settling.of(tenant), tail.clock, self.note, tail.turn
            )
            for tenant in tenants
        ]
        beside = [asyncio.create_task(loop.run()) for loop in loops]
        beside.append(asyncio.create_task(self._forget_old(tenants)))
        lost = asyncio.create_task(lock.lost.wait())
        listening = asyncio.create_task(session.run(stop))
        try:
            await asyncio.wait([listening, lost], return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                raise TailRunningError(
                    "The lock of this tail was lost, and another process may listen by now."
                )
            await listening
        finally:
            for task in (*beside, lost, listening):
                task.cancel()
            await asyncio.gather(*beside, lost, listening, return_exceptions=True)
            for guild in guilds.values():
                tail.guilds.remove(guild)

    def _session_ports(self, client: DiscordClient) -> SessionPorts:
        tail = self.tail
        return SessionPorts(
            gateway=client.gateway,
            events=tail.writer,
            identifies=tail.sessions,
            listening=tail.listening,
            clock=tail.clock,
            guild_of=guild_of,
            note=self.note,
            meter=tail.meter,
        )

    async def _client(self, stack: AsyncExitStack) -> DiscordClient:
        """Log in for the token's own requests, which share its permits with settle passes."""
        tail, first = self.tail, self.tenants[0]
        job_id = JobId(str(uuid.uuid4()))
        secrets = tail.keys.of(first, job_id, Extras(), PeopleRules())
        opened = await tail.worker.open_job(secrets)
        stack.push_async_callback(tail.worker.close_job, job_id)
        if not (await opened.client.login()).has_content_intent:
            raise ContentIntentError(
                "The bot lacks the Message Content intent, so every message would be empty. "
                "Switch it on (Discord Developer Portal, your application, Bot), then start again."
            )
        return opened.client

    def _listener(self, tenant: Tenant, client: DiscordClient) -> GuildListener:
        tail = self.tail
        return GuildListener(
            tenant.id,
            tenant.slug,
            tenant.guild_id,
            ChannelStore(tail.engine, tenant.id),
            partial(self._rules, tenant, client),
            partial(_describe, tenant, client),
            tail.listening,
            tail.clock,
        )

    async def _rules(self, tenant: Tenant, client: DiscordClient) -> ReadingRules:
        """Return the rules on people that hold now."""
        tail = self.tail
        tenant = await TenantStore(tail.engine).get(tenant.slug)
        now = tail.clock.now()
        epoch, people = await tail.listening.open(tenant, self.fingerprint, now)
        secrets = tail.keys.of(tenant, JobId(""), Extras(), people)
        identities = pseudonymizer_for(
            tenant.privacy, secrets.key(), people, known={str(tenant.guild_id)}
        ).at_api(client.transport.base_url)
        bot_id = (await client.login()).user_id
        reader = EventReader(tenant.guild_id, bot_id, identities)
        retention = Retention.of(tenant.settings)

        def horizon(now: datetime) -> int:
            return max(retention.horizon(now), people.before)

        return ReadingRules(epoch, reader.read, people.channels, horizon)

    async def _forget_old(self, tenants: Sequence[Tenant]) -> None:
        while True:
            for tenant in tenants:
                with suppress(RaysyncError):
                    await self.tail.writer.forget_old(tenant.id)
            await asyncio.sleep(FORGET_OLD_S)

    def note(self, guild: GuildListener, event: str, details: Mapping[str, Any]) -> None:
        self.tail.note(guild.slug, event, details)

    async def _audit(self, action: AuditAction) -> None:
        log = AuditLog(self.tail.engine)
        for tenant in self.tenants:
            await log.record(operator_name(), action, tenant.slug, {})


async def _describe(tenant: Tenant, client: DiscordClient) -> GuildSeen | None:
    """Ask Discord for what the gateway says at the start of a session."""
    bot = await client.login()
    try:
        guild, member, channels, threads = await asyncio.gather(
            client.guilds.fetch_guild(tenant.guild_id),
            client.guilds.fetch_member(tenant.guild_id, bot.user_id),
            client.guilds.list_channels(tenant.guild_id),
            client.guilds.list_active_threads(tenant.guild_id),
        )
    except GuildUnavailableError:
        return None
    return GuildSeen(guild, member, (*channels, *threads))
