"""Ray's synchronous calls, kept off the event loop.

They wait for Ray's control service without a limit, and would stop a run's loop while it is away.
Threads are daemons, so that a call that never returns does not keep the process alive.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import ray
from ray._private import worker as ray_worker

from raysync.errors import safe_message

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


LEAVE_S: Final = 5.0
"""Timeout for leaving Ray, in seconds. Without its control service, Ray takes 60 s."""


async def in_thread(call: Callable[[], _T], timeout_s: float) -> _T:
    """Return the result of *call*. Raises its error, or TimeoutError after *timeout_s*."""
    loop = asyncio.get_running_loop()
    returned: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: Exception | None) -> None:
        if returned.done():  # nobody waits any more
            return
        if error is None:
            returned.set_result(result)  # type: ignore[arg-type]  # None only if that is _T
        else:
            returned.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 it belongs to the caller
            failure = error
        with suppress(RuntimeError):  # the loop is closed: the call came back too late
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="ray-call", daemon=True).start()
    async with asyncio.timeout(timeout_s):
        return await returned


def without_waiting(call: Callable[[], object]) -> None:
    """Begin a call whose result nobody needs, and log its error."""

    def run() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 a thread's error would go to stderr
            _log.info("a call to Ray failed: %s", safe_message(error))

    threading.Thread(target=run, name="ray-call", daemon=True).start()


def kill_actor(actor: Any) -> None:
    """Kill an actor for good, without waiting for Ray."""
    without_waiting(partial(ray.kill, actor, no_restart=True))


def leave_ray() -> None:
    """Disconnect from Ray; give up where its control service does not answer."""
    leaving = threading.Thread(target=ray.shutdown, name="ray-shutdown", daemon=True)
    leaving.start()
    leaving.join(LEAVE_S)
    if leaving.is_alive():  # otherwise Ray repeats it when the interpreter ends
        atexit.unregister(ray_worker.shutdown)
