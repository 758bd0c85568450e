"""Ray's synchronous calls whose result nobody needs, kept off the event loop.

They wait for Ray's control service without a limit, and would stop a run's loop while it is away.
`raysync.background.in_thread` makes the calls whose result is needed.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import ray
from ray._private import worker as ray_worker

from raysync.errors import safe_message

_log = logging.getLogger(__name__)


LEAVE_S: Final = 5.0
"""Timeout for leaving Ray, in seconds. Without its control service, Ray takes 60 s."""


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
