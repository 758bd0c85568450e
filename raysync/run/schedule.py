"""Runs at even times, for those with neither cron nor Kubernetes: when, and never two at once.

A tick is a moment at which a run is due: one period after the tick before. Which tick was run
last is in the database, written when its run has ended, so a schedule that was killed in
mid-run runs it again, and ticks that were missed are one run, not many.

What only the one who keeps the schedule can mend is refused when it begins: a tenant that does not
exist, a token or a key that is not here. What ends by itself is waited out: a database that is
away, another job of the tenant, a pause, an outage.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

from raysync.clock import Clock
from raysync.credentials import another_key, key_mark, resolve_token, secret_key
from raysync.errors import ConfigurationError, RaysyncError, UnknownTenantError
from raysync.models.entities import Privacy, Tenant, TenantStatus
from raysync.settings import Settings
from raysync.store.connection.engine import Engine
from raysync.store.privacy.key_checks import KeyChecks
from raysync.store.tenants import TenantStore

_T = TypeVar("_T")

CANCELLED: Final = frozenset({130, 128 + signal.SIGTERM, 128 + signal.SIGHUP})
"""Exit codes of a run that was ended, cleanly or before it knew how to."""
LOOK_S = 60.0
"""The longest wait without a look at the clock: machines sleep, and clocks are set."""
STAND_BY_S = 15.0
"""So often it is asked whether another scheduler has done the tick that it holds."""


@dataclass(frozen=True, slots=True)
class Period:
    """When ticks are."""

    every: timedelta
    jitter: timedelta = timedelta(0)  #: a run begins up to so much after its tick

    def due(self, last: datetime | None, now: datetime) -> datetime:
        """The next tick, after the *last* one that was run; None: there was none."""
        if last is None or last > now + self.every:  # then somebody has set the clock back
            return now
        return last + self.every

    def tick(self, last: datetime | None, now: datetime) -> datetime:
        """The tick of a run that begins *now*: the latest one, whatever was missed before it."""
        if last is None or last > now:
            return now
        return last + (now - last) // self.every * self.every


async def require_tenants(engine: Engine, slugs: Sequence[str]) -> list[Tenant]:
    """Return the tenants that a schedule names; all there are, where it names none.

    Raises:
        UnknownTenantError: one of them does not exist, or there is none at all.
    """
    store = TenantStore(engine)
    if slugs:
        return [await store.get(slug) for slug in dict.fromkeys(slugs)]
    tenants = list(await store.list())
    if not tenants:
        raise UnknownTenantError(
            "There is no tenant to sync yet: add one with "
            "`raysync tenant add SLUG --guild ID --token-env NAME`, then begin the schedule."
        )
    return tenants


async def require_runnable(engine: Engine, settings: Settings, slugs: Sequence[str]) -> list[str]:
    """Refuse a schedule whose runs could not begin as long as this process lives.

    Of tenants that are named, each must be one that can be synced; else one is enough. Return
    what is to be said of a schedule that waits.

    Raises:
        ConfigurationError: a tenant does not exist, or its token or the key is not here.
    """
    tenants = await require_tenants(engine, slugs)
    active = [each for each in tenants if slugs or each.status is TenantStatus.ACTIVE]
    if not active:
        return ["All tenants are paused: the schedule waits until one is unpaused."]
    secret, missing = secret_key(settings), []
    for tenant in active:
        try:
            await _require_secrets(engine, settings, tenant, secret)
        except ConfigurationError as error:
            if slugs:
                raise
            missing.append(error)
    if len(missing) == len(active):
        raise missing[0]
    return []


async def _require_secrets(
    engine: Engine, settings: Settings, tenant: Tenant, secret: bytes
) -> None:
    """Raise ConfigurationError where a run of the tenant lacks its token, or has another key."""
    sealed = await TenantStore(engine).sealed_token(tenant.slug)
    resolve_token(tenant.token_ref, sealed, secret, settings.discord_api_url)
    if tenant.privacy is not Privacy.FULL:
        marks = {tenant.id: key_mark(secret, tenant.guild_id)}
        if await KeyChecks(engine).differing(marks):
            raise another_key(tenant.slug)


class Ledger(Protocol):
    """Which tick was run last, for all who keep the same schedule."""

    async def last_tick(self) -> datetime | None: ...

    async def ended(self, tick: datetime, exit_code: int) -> None:
        """Write down that the run of *tick* has ended."""
        ...

    def hold(self) -> AbstractAsyncContextManager[bool]:
        """Keep others from running a tick meanwhile; False: another does."""
        ...


class Schedule:
    """Runs at each tick, one run at a time, until it is stopped. A failed run ends nothing."""

    def __init__(
        self,
        period: Period,
        ledger: Ledger,
        run: Callable[[], Awaitable[int]],
        clock: Clock,
        tell: Callable[[str], None],
        chance: Callable[[], float] = random.random,
        require: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """*run* gives a run's exit code; *tell* takes sentences for the user.

        *require* is called before each run. It raises UnknownTenantError if a tenant was removed.
        """
        self._period = period
        self._ledger = ledger
        self._run = run
        self._clock = clock
        self._tell = tell
        self._chance = chance
        self._require = require

    async def keep(self, stop: asyncio.Event) -> None:
        """Keep the schedule until *stop*; whoever sets it ends the run under way, too.

        Raises:
            UnknownTenantError: a tenant was removed: no run could begin any more.
            RaysyncError: the ledger cannot be read at the beginning. Later it is waited for.
        """
        last = await self._ledger.last_tick()
        while not stop.is_set():
            due = self._period.due(last, self._clock.now())
            if last is not None:
                due += self._chance() * self._period.jitter
            await self._wait_until(due, stop)
            if not stop.is_set():
                last = await self._patiently(partial(self._tick, last, stop), stop, last)

    async def _tick(self, last: datetime | None, stop: asyncio.Event) -> datetime | None:
        """Run the tick that is due, unless somebody else does; the last one that was run."""
        async with self._ledger.hold() as is_held:
            if not is_held:
                await _pause(STAND_BY_S, stop)
                return await self._ledger.last_tick()
            found = await self._ledger.last_tick()
            if found != last:
                return found
            if self._require is not None:
                await self._require()
            tick = self._period.tick(last, self._clock.now())
            code = await self._run()
            if code in CANCELLED and stop.is_set():
                return last  # it goes on where it stopped when the schedule is kept again
            self._tell(self._ending(code, tick, is_last=stop.is_set()))
            await self._patiently(lambda: self._ledger.ended(tick, code), stop, None)
            return tick

    def _ending(self, code: int, tick: datetime, *, is_last: bool) -> str:
        next_at = max(tick + self._period.every, self._clock.now())
        when = "" if is_last else f"; the next one is due at {next_at:%Y-%m-%d %H:%M:%S} UTC"
        if code == 0:
            return f"The run is completed{when}."
        return f"The run ended with exit code {code}{when}."

    async def _patiently(
        self, call: Callable[[], Awaitable[_T]], stop: asyncio.Event, otherwise: _T
    ) -> _T:
        """What *call* gives, however long the database is away; *otherwise* where it stops."""
        is_told = False
        while True:
            try:
                return await call()
            except UnknownTenantError:  # it does not come back by itself
                raise
            except RaysyncError as error:
                if not is_told:
                    self._tell(f"{error} The schedule waits for it.")
                is_told = True
            await _pause(STAND_BY_S, stop)
            if stop.is_set():
                return otherwise

    async def _wait_until(self, moment: datetime, stop: asyncio.Event) -> None:
        while not stop.is_set() and (left := moment - self._clock.now()) > timedelta(0):
            await _pause(min(left.total_seconds(), LOOK_S), stop)


async def _pause(duration_s: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), duration_s)
