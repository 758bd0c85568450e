"""Composition root of a tail: sessions of the gateway, and settle passes beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from raysync.clock import SystemClock
from raysync.database import open_store
from raysync.errors import (
    RaysyncError,
)
from raysync.live.guild_listener import GuildListener
from raysync.live.tempo import TailMeter, Unmeasured
from raysync.models.entities import Tenant
from raysync.models.events import WorkerReport
from raysync.models.live import TailNote
from raysync.models.permits import Sharer
from raysync.run.active_jobs import ActiveJobs
from raysync.run.keys import RunKeys
from raysync.run.requests import SyncRequest, chosen_tenants
from raysync.run.settling import SLOTS, SettleRuns
from raysync.run.token_tail import TokenTail
from raysync.settings import Settings
from raysync.store.connection.engine import Engine
from raysync.store.live.listening import ListeningStore
from raysync.store.live.sessions import SessionStore
from raysync.store.live.writer import LiveWriter
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
            await TokenTail(self, tenants).run(stop)
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
