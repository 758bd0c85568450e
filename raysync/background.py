"""Work beside the event loop: synchronous calls in daemon threads, and tasks that nobody awaits.

`asyncio.to_thread` is for short calls only: the end of `asyncio.run` waits for its threads, and so
does the end of the interpreter. A daemon thread keeps neither waiting.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

_T = TypeVar("_T")


async def in_thread(call: Callable[[], _T], timeout_s: float | None) -> _T:
    """Return the result of *call*. Raises its error, or TimeoutError after *timeout_s*.

    The call itself cannot be cancelled. It goes on when nobody waits for it any more.
    """
    loop = asyncio.get_running_loop()
    returned: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if returned.done():  # nobody waits any more
            return
        if error is None:
            returned.set_result(result)  # type: ignore[arg-type]  # None only if that is _T
        else:
            returned.set_exception(error)

    def run() -> None:
        result: _T | None = None
        failure: BaseException | None = None
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 it belongs to the caller
            failure = error
        with suppress(RuntimeError):  # the loop is closed: the call came back too late
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="call", daemon=True).start()
    async with asyncio.timeout(timeout_s):
        return await returned


def take_note(ending: asyncio.Future[Any]) -> None:
    """Retrieve the exception of *ending*, so that asyncio does not log it as never retrieved."""
    if not ending.cancelled():
        ending.exception()
