"""Composition root of a tail: sessions of the gateway, and settle passes beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Final

from raysync.clock import SystemClock
from raysync.database import open_store
from raysync.errors import RaysyncError, UnknownTenantError
from raysync.live.guild_listener import GuildListener
from raysync.live.tempo import TailMeter, Unmeasured
from raysync.models.entities import Tenant
from raysync.models.events import WorkerReport
from raysync.models.ids import TenantId
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
FOLLOW_S: Final = 60.0
"""Seconds between looks for tenants that were added, paused or removed."""
END_S: Final = 15.0
"""Seconds in which a session that ends must let go."""
_READER: Final = "tail"

Tell = Callable[[TailNote], None]
Listen = Callable[[Sequence[Tenant], asyncio.Event], Coroutine[Any, Any, RaysyncError | None]]


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


class _Group:
    """Tenants of one token, and the task that listens for them."""

    def __init__(
        self,
        ids: frozenset[TenantId],
        listen: Callable[
            [Sequence[Tenant], asyncio.Event], Coroutine[Any, Any, RaysyncError | None]
        ],
        tenants: Sequence[Tenant],
    ) -> None:
        self.ids = ids
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(listen(tenants, self._stop))

    async def end(self) -> None:
        """Let go of the session, which a successor resumes."""
        self._stop.set()
        try:
            async with asyncio.timeout(END_S):
                await asyncio.gather(self.task, return_exceptions=True)
        except TimeoutError:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


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
        self._groups: dict[str, _Group] = {}  # by token
        self._failed: dict[str, frozenset[TenantId]] = {}
        self._reported: set[TenantId] = set()
        meter.watch(lambda: sum(guild.is_listening for guild in self.guilds))

    async def _report(self, report: WorkerReport) -> None:
        await self.active.report(report)

    async def run(self, tenants: Sequence[Tenant], stop: asyncio.Event, *, are_named: bool) -> None:
        """Listen with each token until *stop*, or until none is left to listen with.

        Unless the tenants are named, those that are added, paused and removed are followed.
        """
        stopping = asyncio.create_task(stop.wait())
        problems: list[RaysyncError] = []
        try:
            problems += self._follow(tenants, are_named=are_named)
            while not stop.is_set() and (self._groups or not (are_named or problems)):
                listening = [group.task for group in self._groups.values()]
                done, _ = await asyncio.wait(
                    [*listening, stopping],
                    timeout=None if are_named else FOLLOW_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                problems += self._ended(done)
                if problems and are_named:
                    break
                if not done:
                    problems += await self._look_again()
        finally:
            self.active.end(None)
            stopping.cancel()
            await asyncio.gather(*(group.end() for group in self._groups.values()))
            await self._close()
        if problems and (are_named or not self._groups) and not stop.is_set():
            raise problems[0]

    def _follow(self, tenants: Sequence[Tenant], *, are_named: bool) -> list[RaysyncError]:
        """Begin to listen with each token whose tenants are new. Return what prevents some."""
        problems: list[RaysyncError] = []
        by_token: dict[str, list[Tenant]] = {}
        for tenant in tenants:
            missing = self.keys.missing.get(tenant.id)
            if missing is None:
                by_token.setdefault(self.keys.tokens[tenant.id], []).append(tenant)
            elif are_named:
                raise missing
            elif tenant.id not in self._reported:
                self._reported.add(tenant.id)
                problems.append(missing)
                self._stopped(tenant, missing)
        for token, group in by_token.items():
            ids = frozenset(tenant.id for tenant in group)
            if token not in self._groups and self._failed.get(token) != ids:
                self._groups[token] = _Group(ids, self._listen, group)
        return problems

    async def _look_again(self) -> list[RaysyncError]:
        """Follow tenants that came and went. A token whose tenants changed begins anew."""
        try:
            tenants = await chosen_tenants(self.engine, SyncRequest())
            self.keys = await RunKeys.find(self.settings, self.engine, tenants)
        except UnknownTenantError:
            tenants = []
        except RaysyncError as error:  # as while the database is away
            _log.warning("tenants cannot be listed: %s", error, extra={"event": "tail_waits"})
            return []
        self.settling.renew(self.keys)
        wanted: dict[str, set[TenantId]] = {}
        for tenant in tenants:
            if tenant.id in self.keys.tokens:
                wanted.setdefault(self.keys.tokens[tenant.id], set()).add(tenant.id)
        for token, group in list(self._groups.items()):
            if wanted.get(token, set()) != set(group.ids):
                del self._groups[token]
                await group.end()
        return self._follow(tenants, are_named=False)

    def _ended(self, done: Collection[asyncio.Task[Any]]) -> list[RaysyncError]:
        """Forget the tokens that are no longer listened with. Return why."""
        problems = []
        for token in [one for one, group in self._groups.items() if group.task in done]:
            group = self._groups.pop(token)
            error = group.task.result()
            if error is not None:
                self._failed[token] = group.ids
                problems.append(error)
        return problems

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
