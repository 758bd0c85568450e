"""Composition root of a tail: sessions of the gateway, and settle passes beside them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from raysync.clock import SystemClock
from raysync.credentials import token_fingerprint
from raysync.database import open_store
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
from raysync.live.tempo import TailMeter, Unmeasured
from raysync.models.audit import AuditAction
from raysync.models.entities import Tenant
from raysync.models.events import WorkerReport
from raysync.models.extras import Extras
from raysync.models.ids import JobId
from raysync.models.live import GuildSeen, TailNote
from raysync.models.permits import Sharer
from raysync.models.privacy import PeopleRules, Retention
from raysync.operators import operator_name
from raysync.run.active_jobs import ActiveJobs
from raysync.run.keys import RunKeys
from raysync.run.requests import SyncRequest, chosen_tenants
from raysync.run.settling import SLOTS, SettleRuns
from raysync.settings import Settings
from raysync.store.archive.channels import ChannelStore
from raysync.store.connection.audit import AuditLog
from raysync.store.connection.engine import Engine
from raysync.store.live.listening import ListeningStore
from raysync.store.live.sessions import SessionStore
from raysync.store.live.writer import LiveWriter
from raysync.store.tenants import TenantStore
from raysync.worker.channel_worker import ChannelWorker
from raysync.worker.driver_governor import DriverGovernor

_log = logging.getLogger(__name__)

SETTLING_AT_ONCE: Final = 4
"""Tenants whose archives a process settles at one time."""
FORGET_OLD_S: Final = 600.0
"""Seconds between deletions of old marks."""
_READER: Final = "tail"

Tell = Callable[[TailNote], None]


async def run_tail(
    slugs: Sequence[str],
    settings: Settings,
    tell: Tell,
    stop: asyncio.Event,
    meter: TailMeter | None = None,
) -> None:
    """Listen for the tenants until *stop*; leave sessions that a successor resumes.

    Raises:
        TailRunningError: another process listens for all of them.
        ConfigurationError: it is impossible for all of them, or for one that was named.
    """
    async with open_store(settings, pool_size=8) as engine:
        tenants = await chosen_tenants(engine, SyncRequest(tenants=tuple(slugs)))
        keys = await RunKeys.find(settings, engine, tenants)
        tail = _Tail(settings, engine, keys, tell, meter or Unmeasured())
        await tail.run(tenants, stop, are_named=bool(slugs))


class _Tail:
    """One tail: what its sessions share."""

    def __init__(
        self, settings: Settings, engine: Engine, keys: RunKeys, tell: Tell, meter: TailMeter
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.keys = keys
        self.tell = tell
        self.meter = meter
        self.clock = SystemClock()
        self.active = ActiveJobs()
        self.sessions = SessionStore(engine)
        self.listening = ListeningStore(engine)
        self.writer = LiveWriter(engine)
        self.governor = DriverGovernor(Sharer(keys.label, _READER), self.clock)
        self.worker = ChannelWorker(
            _READER,
            SLOTS,
            self.governor.lease_for,
            self.governor.observe_for,
            self.governor.watch(),
            self._report,
            connections=SLOTS // 2,
        )
        self.settling = SettleRuns(settings, engine, keys, self.worker, self.active)
        self.turn = asyncio.Semaphore(SETTLING_AT_ONCE)
        self.guilds: list[GuildListener] = []
        meter.watch(lambda: sum(guild.is_listening for guild in self.guilds))

    async def _report(self, report: WorkerReport) -> None:
        await self.active.report(report)

    async def run(self, tenants: Sequence[Tenant], stop: asyncio.Event, *, are_named: bool) -> None:
        """Listen with each token until *stop*, or until none is left to listen with."""
        problems: list[RaysyncError] = []
        by_token: dict[str, list[Tenant]] = {}
        for tenant in tenants:
            if tenant.id in self.keys.missing:
                if are_named:
                    raise self.keys.missing[tenant.id]
                problems.append(self.keys.missing[tenant.id])
                self._stopped(tenant, self.keys.missing[tenant.id])
                continue
            by_token.setdefault(self.keys.tokens[tenant.id], []).append(tenant)
        listening = [asyncio.create_task(self._listen(group, stop)) for group in by_token.values()]
        try:
            for ended in asyncio.as_completed(listening):
                error = await ended
                if error is None:
                    continue
                problems.append(error)
                if are_named:
                    raise error
        finally:
            self.active.end(None)
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
            await self._close()
        if problems and len(problems) >= len(by_token) and not stop.is_set():
            raise problems[0]

    async def _listen(self, tenants: Sequence[Tenant], stop: asyncio.Event) -> RaysyncError | None:
        """Listen with one token. Return why it ended before *stop*; None: for no other reason."""
        try:
            await _TokenTail(self, tenants).run(stop)
        except RaysyncError as error:
            for tenant in tenants:
                self._stopped(tenant, error)
            return error
        for tenant in tenants:
            self.note(tenant.slug, "stopped", {})
        return None

    def _stopped(self, tenant: Tenant, error: RaysyncError) -> None:
        self.note(tenant.slug, "stopped", {"error": type(error).__name__, "reason": str(error)})

    def note(self, slug: str, event: str, details: Mapping[str, Any]) -> None:
        """Tell the user."""
        if event == "settled":
            self.meter.settled(details.get("missed", 0))
        self.tell(TailNote(slug, event, self.clock.now(), dict(details)))

    async def _close(self) -> None:
        for close in (self.settling.close, self.worker.close, self.governor.close):
            try:
                await close()
            except Exception:  # noqa: BLE001 the parts are independent
                _log.exception("A part of the tail did not end", extra={"event": "close_failed"})


@dataclass(slots=True)
class _TokenTail:
    """Sessions of one token, with the tenants whose guilds they hear."""

    tail: _Tail
    tenants: Sequence[Tenant]
    fingerprint: str = ""

    async def run(self, stop: asyncio.Event) -> None:
        tail, first = self.tail, self.tenants[0]
        token = tail.keys.tokens[first.id]
        self.fingerprint = fingerprint = token_fingerprint(tail.keys.secret, token)
        async with AsyncExitStack() as stack:
            lock, lease, position = await tail.sessions.take(fingerprint)
            stack.push_async_callback(tail.sessions.release, lock)
            client = await self._client(stack)
            shards = 1
            guilds = {tenant.id: self._listener(tenant, client) for tenant in self.tenants}
            tail.guilds.extend(guilds.values())
            await self._audit(AuditAction.TAIL_BEGUN)
            session = GatewaySession(
                SessionPorts(
                    gateway=client.gateway,
                    events=tail.writer,
                    identifies=tail.sessions,
                    listening=tail.listening,
                    clock=tail.clock,
                    guild_of=guild_of,
                    note=self.note,
                    meter=tail.meter,
                ),
                lease,
                position,
                guilds.values(),
                shards,
            )
            loops = [
                SettleLoop(
                    guilds[tenant.id],
                    tail.settling.of(tenant),
                    tail.clock,
                    self.note,
                    tail.turn,
                )
                for tenant in self.tenants
            ]
            beside = [asyncio.create_task(loop.run()) for loop in loops]
            beside.append(asyncio.create_task(self._forget_old()))
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
                with suppress(RaysyncError):
                    await self._audit(AuditAction.TAIL)

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

    async def _forget_old(self) -> None:
        while True:
            for tenant in self.tenants:
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
