"""Schedule of runs at regular intervals, one at a time, without cron or Kubernetes.

A tick is a time at which a run is due: one period after the previous tick. The database has the
last tick, written when its run has ended. So a schedule that was killed during a run repeats its
tick, and missed ticks lead to one run, not to many.

A schedule refuses at its start what only its operator can correct: a tenant that does not exist, a
missing token or key. It waits for what ends by itself: an outage of the database or of Discord,
another job of the tenant, a pause.
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
"""Exit codes of a run that a signal ended, cleanly or before its handlers were installed."""
LOOK_S = 60.0
"""Maximum wait between reads of the clock: machines sleep, and clocks are set."""
STAND_BY_S = 15.0
"""Seconds between checks of whether another scheduler has finished the tick that it holds."""


@dataclass(frozen=True, slots=True)
class Period:
    """Interval between ticks."""

    every: timedelta
    jitter: timedelta = timedelta(0)  #: maximum delay of a run after its tick

    def due(self, last: datetime | None, now: datetime) -> datetime:
        """Return the next tick after *last*, the last one that ran; None: no tick has run."""
        if last is None or last > now + self.every:  # then the clock was set back
            return now
        return last + self.every

    def tick(self, last: datetime | None, now: datetime) -> datetime:
        """Return the tick of a run that begins *now*: the latest one; earlier ones are skipped."""
        if last is None or last > now:
            return now
        return last + (now - last) // self.every * self.every


async def require_tenants(engine: Engine, slugs: Sequence[str]) -> list[Tenant]:
    """Return the tenants that a schedule names; all tenants where it names none.

    Raises:
        UnknownTenantError: one of them does not exist, or there is no tenant.
    """
    store = TenantStore(engine)
    if slugs:
        return [await store.get(slug) for slug in dict.fromkeys(slugs)]
    tenants = list(await store.list())
    if not tenants:
        raise UnknownTenantError(
            "There is no tenant to sync yet. Add one with "
            "`raysync tenant add SLUG --guild ID --token-env NAME`, then start the schedule."
        )
    return tenants


async def require_runnable(engine: Engine, settings: Settings, slugs: Sequence[str]) -> list[str]:
    """Refuse a schedule whose runs could never begin in this process.

    If *slugs* names tenants, each of them must be ready to sync; otherwise one ready tenant is
    enough. Return notices for the user about a schedule that has to wait.

    Raises:
        ConfigurationError: a tenant does not exist, or its token or the secret key is missing.
    """
    tenants = await require_tenants(engine, slugs)
    active = [tenant for tenant in tenants if slugs or tenant.status is TenantStatus.ACTIVE]
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
    """Raise ConfigurationError where the tenant's token is missing or the key has changed."""
    sealed = await TenantStore(engine).sealed_token(tenant.slug)
    resolve_token(tenant.token_ref, sealed, secret, settings.discord_api_url)
    if tenant.privacy is not Privacy.FULL:
        marks = {tenant.id: key_mark(secret, tenant.guild_id)}
        if await KeyChecks(engine).differing(marks):
            raise another_key(tenant.slug)


class Ledger(Protocol):
    """Record of the last tick, shared by all processes with the same schedule."""

    async def last_tick(self) -> datetime | None:
        """Return the last tick whose run has ended; None where no tick has run."""
        ...

    async def ended(self, tick: datetime, exit_code: int) -> None:
        """Store that the run of *tick* has ended."""
        ...

    def hold(self) -> AbstractAsyncContextManager[bool]:
        """Lock the schedule for one tick; False: another process holds the lock."""
        ...


class Schedule:
    """Schedule of one run per tick, until it is stopped. A failed run does not end it."""

    def __init__(
        self,
        period: Period,
        ledger: Ledger,
        run: Callable[[], Awaitable[int]],
        clock: Clock,
        report: Callable[[str], None],
        chance: Callable[[], float] = random.random,
        require: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """*run* returns a run's exit code; *report* receives sentences for the user.

        *require* is called before each run. It raises UnknownTenantError if a tenant was removed.
        """
        self._period = period
        self._ledger = ledger
        self._run = run
        self._clock = clock
        self._report = report
        self._chance = chance
        self._require = require

    async def keep(self, stop: asyncio.Event) -> None:
        """Keep the schedule until *stop*; whoever sets *stop* must also end the run under way.

        Raises:
            UnknownTenantError: a tenant was removed, so no further run could begin.
            RaysyncError: the ledger cannot be read at the start; later failures are retried.
        """
        last = await self._ledger.last_tick()
        while not stop.is_set():
            due = self._period.due(last, self._clock.now())
            if last is not None:
                due += self._chance() * self._period.jitter
            await self._wait_until(due, stop)
            if not stop.is_set():
                last = await self._retried(partial(self._tick, last, stop), stop, last)

    async def _tick(self, last: datetime | None, stop: asyncio.Event) -> datetime | None:
        """Run the due tick unless another process does; return the last tick that ran."""
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
                return last  # the next start of the schedule continues the interrupted run
            self._report(self._ending(code, tick, is_last=stop.is_set()))
            await self._retried(lambda: self._ledger.ended(tick, code), stop, None)
            return tick

    def _ending(self, code: int, tick: datetime, *, is_last: bool) -> str:
        next_at = max(tick + self._period.every, self._clock.now())
        when = "" if is_last else f"; the next one is due at {next_at:%Y-%m-%d %H:%M:%S} UTC"
        if code == 0:
            return f"The run is completed{when}."
        return f"The run ended with exit code {code}{when}."

    async def _retried(
        self, call: Callable[[], Awaitable[_T]], stop: asyncio.Event, otherwise: _T
    ) -> _T:
        """Retry *call* until the database answers; return *otherwise* once the schedule stops."""
        is_reported = False
        while True:
            try:
                return await call()
            except UnknownTenantError:  # waiting does not help
                raise
            except RaysyncError as error:
                if not is_reported:
                    self._report(f"{error} The schedule waits until this is over.")
                is_reported = True
            await _pause(STAND_BY_S, stop)
            if stop.is_set():
                return otherwise

    async def _wait_until(self, moment: datetime, stop: asyncio.Event) -> None:
        while not stop.is_set() and (left := moment - self._clock.now()) > timedelta(0):
            await _pause(min(left.total_seconds(), LOOK_S), stop)


async def _pause(duration_s: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), duration_s)
