"""Signals that end a run: the first one cleanly, a second SIGINT at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

from raysync.signals import call_at_end, call_at_hangup

_T = TypeVar("_T")


async def until_signalled(
    run: Callable[[asyncio.Event, Callable[[], None]], Awaitable[_T]],
) -> _T:
    """Return the result of *run*, which receives an event that signals set.

    *run* also receives a function that installs the signal handlers. It calls this function after
    `ray.init`, which installs its own handlers.

    Raises:
        KeyboardInterrupt: the second SIGINT.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupt() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    def install() -> None:
        loop.add_signal_handler(signal.SIGINT, interrupt)
        call_at_end(stop.set)

    call_at_hangup(stop.set)  # Ray leaves SIGHUP alone, and starts processes that must be ended
    try:
        return await run(stop, install)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
