"""Starts of a pool's workers: those under way, those that failed, and the pause after failures."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final

from raysync.clock import Clock
from raysync.errors import (
    ConfigurationError,
    RaysyncError,
    WorkerLostError,
    WorkersUnavailableError,
)
from raysync.pool.members import Member, Members, WorkerPort, WorkerState
from raysync.pool.policies import FailurePolicy

_log = logging.getLogger(__name__)

AWAITED_S = 60.0
"""Seconds without any worker until the user is warned; doubled for each further warning."""
_AWAITED: Final = (
    "no worker has come up for %d s: Ray has no room for one yet (`ray status` lists what is "
    "requested and what is available)"
)


class WorkerStarts:
    """Starts of a pool's workers.

    After too many failures in a row the pool either is `broken`, or starts no worker until the
    policy's pause is over, as long as other workers are up or starting.
    """

    def __init__(
        self,
        spawn: Callable[[int], WorkerPort],
        members: Members,
        failures: FailurePolicy,
        clock: Clock,
        on_up: Callable[[Member], None],
        on_change: Callable[[], None],
    ) -> None:
        """*on_up* receives a worker that is up; *on_change* is called when a start has ended."""
        self._spawn = spawn
        self._members = members
        self._failures = failures
        self._clock = clock
        self._on_up = on_up
        self._on_change = on_change
        self._spawned = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._failed = self._lost = 0  # in a row
        self._pause: asyncio.TimerHandle | None = None
        self._warning: asyncio.TimerHandle | None = None  # while no worker has come up
        self._last_up_s = -math.inf
        self.broken: RaysyncError | None = None  #: reason why no worker is up or will come up

    @property
    def are_allowed(self) -> bool:
        """True while workers may be started."""
        return self.broken is None and self._pause is None

    def since_last_s(self) -> float:
        """Return the seconds since a worker last came up; infinity where none has."""
        return self._clock.monotonic_s() - self._last_up_s

    def start_one(self) -> None:
        """Begin to start one worker."""
        member = self._members.add(self._spawn(self._spawned))
        self._spawned += 1
        if self._warning is None and not self._members.running:
            self._warn_after(AWAITED_S)
        task = asyncio.create_task(self._start(member))
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    async def ended(self) -> None:
        """Wait until no start is under way."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    async def cancel(self) -> None:
        """Cancel all starts, and wait until they have ended."""
        for timer in (self._pause, self._warning):
            if timer is not None:
                timer.cancel()
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _warn_after(self, waited_s: float) -> None:
        """Warn once no worker has come up for *waited_s*: a cloud's machine takes minutes."""

        def warn() -> None:
            _log.warning(_AWAITED, waited_s, extra={"event": "workers_awaited"})
            self._warn_after(2 * waited_s)

        more_s = waited_s if waited_s == AWAITED_S else waited_s / 2
        self._warning = asyncio.get_running_loop().call_later(more_s, warn)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            self._on_change()

    async def _start(self, member: Member) -> None:
        try:
            await member.worker.start()
        except Exception as error:  # noqa: BLE001 any error counts, or starts would never stop
            self._members.move(member, WorkerState.GONE)
            member.worker.kill()
            self._note_failure(error)
            return
        except asyncio.CancelledError:
            self._members.move(member, WorkerState.GONE)
            member.worker.kill()
            raise
        self._failed = self._lost = 0
        self._last_up_s = self._clock.monotonic_s()
        if self._warning is not None:
            self._warning.cancel()
            self._warning = None
        self._members.move(member, WorkerState.ALIVE)
        self._on_up(member)

    def _note_failure(self, error: Exception) -> None:
        _log.warning("a worker did not start: %s", error, extra={"event": "worker_failed"})
        is_lost = isinstance(error, WorkerLostError)
        self._lost += is_lost
        self._failed += not is_lost
        if not self._failures.is_hopeless(error, self._failed, self._lost):
            return
        if not self._members:
            if isinstance(error, ConfigurationError):
                self.broken = error
            else:
                self.broken = WorkersUnavailableError(f"No worker could be started: {error}")
        elif self._pause is None:  # other workers are up, or may still come up
            loop = asyncio.get_running_loop()
            self._pause = loop.call_later(self._failures.pause_s, self._resume)

    def _resume(self) -> None:
        """Allow starts again, and call *on_change*: no other event may come that would."""
        self._pause = None
        self._on_change()
