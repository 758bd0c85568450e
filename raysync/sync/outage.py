"""Watches the database during a run: reports an outage, has it ended, or ends the run."""

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

LOOK_EVERY_S: Final = 1.0
NOBODY_ASKS_S: Final = 60.0
"""Silence after which nobody asks the database: longer than any question to it."""


class ServerPort(Protocol):
    """A server that can be started from here."""

    async def revive(self) -> ServerState:
        """Start it again if it has died.

        Raises:
            RunStoppedError: this run cannot use it any more. After any other error it is tried
                again.
        """
        ...

    def answered(self) -> None:
        """Note that it answers."""
        ...


class OutageObserver(Protocol):
    """Hears of outages."""

    def database_away(self, outage: Outage) -> None:
        """The database does not answer; called again when more is known of the same outage."""
        ...

    def database_back(self, after_s: float) -> None:
        """The database answers again."""
        ...


class OutageWatch:
    """The outages of one run's database.

    Whoever asks the database regularly calls `note` with each result.
    """

    def __init__(
        self,
        clock: Clock,
        observer: OutageObserver,
        server: ServerPort | None,
        patience_s: float,
    ) -> None:
        """*server* is None where nobody here can start it. An outage lasts *patience_s* at most."""
        self._clock = clock
        self._observer = observer
        self._server = server
        self._patience = timedelta(seconds=patience_s)
        self._answered_at = clock.now()
        self._noted_s = clock.monotonic_s()
        self._answered = asyncio.Event()
        self._answered.set()
        self._failed = asyncio.Event()
        self._reason = ""

    def note(self, reason: str | None) -> None:
        """Take in that the database has answered (None), or *reason*, why it has not."""
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
        """Wait while the database is away, unless the run is *stopping*.

        Where nobody asks the database any more, whoever waits has to find out.
        """
        waits = [asyncio.create_task(each.wait()) for each in (self._answered, stopping)]
        try:
            while not (self._answered.is_set() or stopping.is_set()):
                if self._clock.monotonic_s() - self._noted_s > NOBODY_ASKS_S:
                    return
                await asyncio.wait(waits, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def watch(self) -> RaysyncError:
        """Watch until an outage is to end the run, and return the reason."""
        while True:
            await self._failed.wait()
            since = self._answered_at
            try:
                was_told = await self._sit_out(since)
            except (RunStoppedError, StoreUnavailableError) as error:
                return error
            if was_told:
                self._observer.database_back((self._clock.now() - since).total_seconds())
            if self._server is not None:
                self._server.answered()

    async def _sit_out(self, since: datetime) -> bool:
        """Wait until the database answers again. Return whether the observer has heard of it."""
        until, last = since + self._patience, None
        while not self._answered.is_set():
            if self._clock.now() >= until:
                raise StoreUnavailableError(
                    f"PostgreSQL has not answered since {since:%Y-%m-%d %H:%M:%S} UTC "
                    f"({self._reason}), so the run was ended; what was stored stays. See to the "
                    "server, then go on: `raysync start`, or `raysync resume`."
                )
            pause_s = LOOK_EVERY_S
            if last is None:  # before a start, which takes seconds
                last = Outage(since, until, self._reason)
                self._observer.database_away(last)
            state = ServerState()
            if self._server is not None:
                try:
                    state = await self._server.revive()
                except RunStoppedError:
                    raise
                except Exception as error:  # noqa: BLE001 whatever it is, the watch goes on
                    if not isinstance(error, RaysyncError):
                        _log.exception("the database could not be started")
                    state, pause_s = ServerState(safe_message(error)), OUTAGE_PAUSE_S
            outage = Outage(since, until, state.reason or self._reason, state.is_stopped)
            if outage != last and not self._answered.is_set():
                last = outage
                self._observer.database_away(last)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._answered.wait()
        return last is not None
