"""Command `raysync schedule`."""

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
from raysync.cli.runs.remote_command import parse_command, refuse_secrets
from raysync.operators import operator_name
from raysync.signals import call_at_end

if TYPE_CHECKING:
    from raysync.run.schedule import Schedule
    from raysync.settings import Settings
    from raysync.store.jobs.schedules import ScheduleStore

MIN_PERIOD = timedelta(seconds=1)
MAX_JITTER = timedelta(minutes=5)
_SIGNAL_BASE = 128

PASS_OPTIONS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


def schedule(
    context: typer.Context,
    every: Annotated[
        timedelta,
        typer.Option(
            parser=params.duration,
            metavar="DURATION",
            help="Start a run at this interval, as in 1h, 30m or 1d.",
        ),
    ],
    jitter: Annotated[
        timedelta | None,
        typer.Option(
            parser=params.duration,
            metavar="DURATION",
            help="Delay each run by a random time up to this. [default: a tenth of --every, at "
            "most 5m]",
        ),
    ] = None,
) -> None:
    """Run `raysync start` at regular intervals, one run at a time.

    Takes all options of `raysync start`.

    A schedule that is started again continues where it stopped; all runs that it missed become
    one run. If the same schedule runs twice on one database, each run happens once. A failed run
    is reported, and the schedule goes on. Ctrl-C, SIGTERM and a closed terminal end the current
    run cleanly, and then the schedule.

    A tenant that does not exist, and a missing token or key, are refused at once.

    Exit codes: 0 after SIGTERM or SIGHUP, 130 after Ctrl-C, 2 usage or configuration.
    """
    if every < MIN_PERIOD:
        raise typer.BadParameter("--every is shorter than 1s. Give 1s or more.")
    words = ["start", *context.args]
    refuse_secrets(words)
    slugs: list[str] = parse_command(context, words).get("tenant") or []
    from raysync.clock import SystemClock
    from raysync.run.schedule import Period, Schedule
    from raysync.settings import read_settings

    runs = _Runs(context.args)
    period = Period(every, min(every / 10, MAX_JITTER) if jitter is None else jitter)
    ledger = _DatabaseLedger(read_settings(), shlex.join(words), slugs)
    for note in asyncio.run(ledger.require_runnable()):
        say(note)
    repeated = Schedule(period, ledger, runs.run, SystemClock(), say, require=ledger.require)
    asyncio.run(runs.repeat_until_signalled(repeated))
    if runs.is_interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


class _DatabaseLedger:
    """Ticks of the schedule. A run takes hours, so each access opens the database anew."""

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
        if not self._slugs:  # tenants may still be added
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
    """Runs of `raysync start`, each in a process of its own, so that a run leaves nothing behind.

    The process of a run ends when this process ends, even if this one is killed.
    """

    def __init__(self, options: list[str]) -> None:
        self.is_interrupted = False
        self._options = options
        self._stop = asyncio.Event()
        self._running: asyncio.subprocess.Process | None = None

    async def repeat_until_signalled(self, schedule: Schedule) -> None:
        """Repeat *schedule* until SIGINT, SIGTERM or SIGHUP, and then until its run has ended."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._end, True)
        call_at_end(partial(self._end, is_interrupt=False))
        await schedule.keep(self._stop)

    def _end(self, is_interrupt: bool) -> None:
        """End the run cleanly. A second SIGINT ends it at once."""
        is_second = self._stop.is_set()
        self._stop.set()
        self.is_interrupted = self.is_interrupted or (is_interrupt and not is_second)
        if self._running is not None:
            with suppress(ProcessLookupError):
                at_once = is_interrupt and is_second
                self._running.send_signal(signal.SIGINT if at_once else signal.SIGTERM)

    async def run(self) -> int:
        """Run the command once, and return its exit code."""
        try:
            self._running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "raysync.cli.exit_with_parent", "start", *self._options),
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches this process only, which forwards it
            )
        except OSError as error:  # for example no memory at the moment
            say(f"The run could not be started: {error.strerror}. The schedule goes on.")
            return EXIT_FAILED
        try:
            if self._stop.is_set():
                self._running.terminate()
            code = await self._running.wait()
        finally:
            self._running = None
        return code if code >= 0 else _SIGNAL_BASE - code
