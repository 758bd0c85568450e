"""Watches the database during a run: reports an outage, has it ended, or ends the run."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Protocol

from raysync.errors import ConfigurationError, RaysyncError, RunStoppedError, StoreUnavailableError
from raysync.models.outage import Outage, ServerState
from raysync.sync.ports import Moments
from raysync.sync.retry import OUTAGE_PAUSE_S

LOOK_EVERY_S: Final = 1.0


class ServerPort(Protocol):
    """A server that can be started from here."""

    async def revive(self) -> ServerState:
        """Start it again if it has died.

        Raises:
            RunStoppedError: it must not, or cannot, be used any more by this run.
            ConfigurationError: it cannot be started now.
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
        clock: Moments,
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
        self._answered = asyncio.Event()
        self._answered.set()
        self._failed = asyncio.Event()
        self._reason = ""

    def note(self, reason: str | None) -> None:
        """Take in that the database has answered (None), or *reason*, why it has not."""
        if reason is None:
            self._answered_at = self._clock.now()
            self._answered.set()
            self._failed.clear()
        else:
            self._reason = reason
            self._answered.clear()
            self._failed.set()

    async def answers(self, stopping: asyncio.Event) -> None:
        """Wait while the database is away, unless the run is *stopping*."""
        waits = [asyncio.create_task(each.wait()) for each in (self._answered, stopping)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def watch(self) -> RaysyncError:
        """Watch until an outage is to end the run, and return the reason."""
        while True:
            await self._failed.wait()
            since = self._answered_at
            try:
                await self._sit_out(since)
            except (RunStoppedError, StoreUnavailableError) as error:
                return error
            self._observer.database_back((self._clock.now() - since).total_seconds())
            if self._server is not None:
                self._server.answered()

    async def _sit_out(self, since: datetime) -> None:
        """Wait until the database answers again."""
        until, told = since + self._patience, None
        while not self._answered.is_set():
            if self._clock.now() >= until:
                raise StoreUnavailableError(
                    f"PostgreSQL has not answered since {since:%Y-%m-%d %H:%M:%S} UTC "
                    f"({self._reason}), so the run was ended; what was stored stays. See to the "
                    "server, then go on: `raysync start`, or `raysync resume`."
                )
            pause_s = LOOK_EVERY_S
            if told is None:  # before a start, which takes seconds
                told = Outage(since, until, self._reason)
                self._observer.database_away(told)
            state = ServerState()
            if self._server is not None:
                try:
                    state = await self._server.revive()
                except ConfigurationError as error:
                    state, pause_s = ServerState(str(error)), OUTAGE_PAUSE_S
            outage = Outage(since, until, state.reason or self._reason, state.is_stopped)
            if outage != told and not self._answered.is_set():
                told = outage
                self._observer.database_away(told)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._answered.wait()
