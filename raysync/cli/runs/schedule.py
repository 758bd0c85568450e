"""`raysync schedule`."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import params
from raysync.cli.error_handling import EXIT_FAILED, EXIT_INTERRUPTED
from raysync.cli.output.console import say
from raysync.cli.runs.remote_command import checked, refuse_secrets
from raysync.operators import operator_name
from raysync.signals import call_at_end

if TYPE_CHECKING:
    from raysync.run.schedule import Schedule
    from raysync.settings import Settings
    from raysync.store.jobs.schedules import ScheduleStore

SHORTEST = timedelta(seconds=1)
MOST_JITTER = timedelta(minutes=5)
_SIGNAL_BASE = 128

PASS_OPTIONS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


def schedule(
    context: typer.Context,
    every: Annotated[
        timedelta,
        typer.Option(parser=params.duration, metavar="DURATION", help="As in 1h, 30m or 1d."),
    ],
    jitter: Annotated[
        timedelta | None,
        typer.Option(
            parser=params.duration,
            metavar="DURATION",
            help="Begin each run up to so much later, by chance. [default: a tenth of --every, "
            "5m at most]",
        ),
    ] = None,
) -> None:
    """Run `raysync start` at even times, one run at a time. All options of start go with it.

    A schedule goes on where it was left: what was missed meanwhile is one run. Where the same
    one is kept twice on one database, each run is made once. A failed run is told, and the next
    one comes. Ctrl-C, SIGTERM and a closed terminal end the run under way cleanly, and then the
    schedule.

    Refused at once: a tenant that does not exist, a token or a key that is not here.

    Exit codes: 0 after SIGTERM or SIGHUP, 130 after Ctrl-C, 2 usage or configuration.
    """
    if every < SHORTEST:
        raise typer.BadParameter("--every must be 1s at least.")
    words = ["start", *context.args]
    refuse_secrets(words)
    slugs: list[str] = checked(context, words).get("tenant") or []
    from raysync.clock import SystemClock
    from raysync.run.schedule import Period, Schedule
    from raysync.settings import read_settings

    runs = _Runs(context.args)
    period = Period(every, min(every / 10, MOST_JITTER) if jitter is None else jitter)
    ledger = _DatabaseLedger(read_settings(), shlex.join(words), slugs)
    for note in asyncio.run(ledger.require_runnable()):
        say(note)
    kept = Schedule(period, ledger, runs.run, SystemClock(), say, require=ledger.require)
    asyncio.run(runs.until_signalled(kept))
    if runs.is_interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


class _DatabaseLedger:
    """The schedule's ticks, the database being opened for each look: a run takes hours."""

    def __init__(self, settings: Settings, name: str, slugs: Sequence[str]) -> None:
        self._settings = settings
        self._name = name
        self._slugs = slugs

    async def require_runnable(self) -> list[str]:
        """See `raysync.run.schedule.require_runnable`."""
        from raysync.database import open_store
        from raysync.run.schedule import require_runnable

        async with open_store(self._settings) as engine:
            return await require_runnable(engine, self._settings, self._slugs)

    async def require(self) -> None:
        if not self._slugs:  # tenants may be added yet
            return
        from raysync.database import open_store
        from raysync.run.schedule import require_tenants

        async with open_store(self._settings) as engine:
            await require_tenants(engine, self._slugs)

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[ScheduleStore]:
        from raysync.database import open_store
        from raysync.store.jobs.schedules import ScheduleStore

        async with open_store(self._settings) as engine:
            yield ScheduleStore(engine, self._name)

    async def last_tick(self) -> datetime | None:
        async with self._store() as store:
            return await store.last_tick()

    async def ended(self, tick: datetime, exit_code: int) -> None:
        async with self._store() as store:
            await store.ended(operator_name(), tick, exit_code)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[bool]:
        async with self._store() as store, store.hold() as is_held:
            yield is_held


class _Runs:
    """`raysync start`, each time in a process of its own: nothing of a run outlives it.

    It ends when this process does, however that ends.
    """

    def __init__(self, options: list[str]) -> None:
        self.is_interrupted = False
        self._options = options
        self._stop = asyncio.Event()
        self._running: asyncio.subprocess.Process | None = None

    async def until_signalled(self, schedule: Schedule) -> None:
        """Keep *schedule* until SIGINT, SIGTERM or SIGHUP, and its run's end."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._end, True)
        call_at_end(partial(self._end, is_interrupt=False))
        await schedule.keep(self._stop)

    def _end(self, is_interrupt: bool) -> None:
        """Have the run end cleanly; a second SIGINT ends it at once."""
        is_second = self._stop.is_set()
        self._stop.set()
        self.is_interrupted = self.is_interrupted or (is_interrupt and not is_second)
        if self._running is not None:
            with suppress(ProcessLookupError):
                again = is_interrupt and is_second
                self._running.send_signal(signal.SIGINT if again else signal.SIGTERM)

    async def run(self) -> int:
        """Run it once; the exit code."""
        try:
            self._running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "raysync.cli.exit_with_parent", "start", *self._options),
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,  # a terminal's Ctrl-C is for us, who pass it on
            )
        except OSError as error:  # no memory for it now, say
            say(f"The run could not be begun: {error.strerror}.")
            return EXIT_FAILED
        try:
            if self._stop.is_set():
                self._running.terminate()
            code = await self._running.wait()
        finally:
            self._running = None
        return code if code >= 0 else _SIGNAL_BASE - code
