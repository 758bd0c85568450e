"""Outages of the database during a run: reported, ended by a restart, or the run's end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Protocol

from raysync.clock import Clock
from raysync.errors import RaysyncError, RunStoppedError, StoreUnavailableError, safe_message
from raysync.models.outage import Outage, ServerState
from raysync.sync.retry import OUTAGE_PAUSE_S

_log = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 1.0
"""Seconds between two checks during an outage."""
SILENCE_S: Final = 60.0
"""Seconds without a query, after which no caller uses the database: longer than any query takes."""


class ServerPort(Protocol):
    """Database server that this process can start."""

    async def revive(self) -> ServerState:
        """Start the server again if it has died.

        Raises:
            RunStoppedError: this run cannot use the server any more. Every other error is retried.
        """
        ...

    def answered(self) -> None:
        """Note that the server answers."""
        ...


class OutageObserver(Protocol):
    """Receiver of reports on outages."""

    def database_away(self, outage: Outage) -> None:
        """Report an outage; called again when more is known of the same outage."""
        ...

    def database_back(self, after_s: float) -> None:
        """Report that the database answers again, after *after_s* seconds."""
        ...


class OutageWatch:
    """Watch for outages of one run's database.

    The caller that queries the database regularly passes each result to `note`.
    """

    def __init__(
        self,
        clock: Clock,
        observer: OutageObserver,
        server: ServerPort | None,
        longest_s: float,
    ) -> None:
        """*server* is None if it cannot be started here. Outages last *longest_s* at most."""
        self._clock = clock
        self._observer = observer
        self._server = server
        self._longest = timedelta(seconds=longest_s)
        self._answered_at = clock.now()
        self._noted_s = clock.monotonic_s()
        self._answered = asyncio.Event()
        self._answered.set()
        self._failed = asyncio.Event()
        self._reason = ""

    def note(self, reason: str | None) -> None:
        """Record that the database has answered (None), or the *reason* why it has not."""
        self._noted_s = self._clock.monotonic_s()
        if reason is None:
            self._answered_at = self._clock.now()
            self._answered.set()
            self._failed.clear()
        else:
            self._reason = reason
            self._answered.clear()
            self._failed.set()

    async def answers(self, stopping: asyncio.Event) -> None:
        """Wait until the database answers, or the run is *stopping*.

        Return also after `SILENCE_S` without a query: then the caller's own query shows the state.
        """
        waits = [asyncio.create_task(event.wait()) for event in (self._answered, stopping)]
        try:
            while not (self._answered.is_set() or stopping.is_set()):
                if self._clock.monotonic_s() - self._noted_s > SILENCE_S:
                    return
                await asyncio.wait(
                    waits, timeout=CHECK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            for wait in waits:
                wait.cancel()

    async def watch(self) -> RaysyncError:
        """Watch until an outage ends the run, and return the reason."""
        while True:
            await self._failed.wait()
            since = self._answered_at
            try:
                was_reported = await self._wait_out(since)
            except (RunStoppedError, StoreUnavailableError) as error:
                return error
            if was_reported:
                self._observer.database_back((self._clock.now() - since).total_seconds())
            if self._server is not None:
                self._server.answered()

    async def _wait_out(self, since: datetime) -> bool:
        """Wait until the database answers again. Return whether the outage was reported."""
        until, last = since + self._longest, None
        while not self._answered.is_set():
            if self._clock.now() >= until:
                raise StoreUnavailableError(
                    f"PostgreSQL has not answered since {since:%Y-%m-%d %H:%M:%S} UTC "
                    f"({self._reason}), so the run was ended. Stored messages are kept. Repair "
                    "the server, then continue with `raysync start` or `raysync resume`."
                )
            if last is None:  # report before the server is started, which takes seconds
                last = Outage(since, until, self._reason)
                self._observer.database_away(last)
            state, pause_s = await self._revive()
            outage = Outage(since, until, state.reason or self._reason, state.is_stopped)
            if outage != last and not self._answered.is_set():
                last = outage
                self._observer.database_away(last)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._answered.wait()
        return last is not None

    async def _revive(self) -> tuple[ServerState, float]:
        """Start the server if that is possible. Return its state, and seconds to the next check."""
        if self._server is None:
            return ServerState(), CHECK_EVERY_S
        try:
            return await self._server.revive(), CHECK_EVERY_S
        except RunStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 no error may end the watch
            if not isinstance(error, RaysyncError):
                _log.exception("the database could not be started")
            return ServerState(safe_message(error)), OUTAGE_PAUSE_S
