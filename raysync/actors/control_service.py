"""Ray's control service (GCS), watched by a run that cannot go on without it.

Workers read on while it restarts. If it does not come back, Ray ends the run's process after 60 s
(`gcs_rpc_server_reconnect_timeout_s`) without a result, so the run must end itself before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import ray

from raysync.actors.listener import reason_unreachable
from raysync.background import in_thread
from raysync.errors import ControlServiceLostError, safe_message

_log = logging.getLogger(__name__)

GONE_AFTER_S: Final = 20.0
"""Seconds without an answer after which it counts as gone: a restart takes about 12 s."""
PERIOD_S: Final = 3.0
QUESTION_S: Final = 6.0
"""Timeout of one question, in seconds; gRPC's own is shorter."""


def control_service_answers() -> bool:
    """Return whether the control service of this process's cluster answers."""
    from raysync.actors.joining import is_alive  # here: a local run needs no gRPC

    return is_alive(str(ray.get_runtime_context().gcs_address))


def control_service_listens() -> bool:
    """Return whether the control service of this process's Ray takes connections."""
    host, _, port = str(ray.get_runtime_context().gcs_address).rpartition(":")
    return reason_unreachable(host.strip("[]"), int(port)) is None


async def watch_control_service(
    answers: Callable[[], bool],
    *,
    period_s: float = PERIOD_S,
    gone_after_s: float = GONE_AFTER_S,
    now_s: Callable[[], float] = time.monotonic,
) -> ControlServiceLostError:
    """Return an error once no control service has answered for *gone_after_s*."""
    silent_since_s: float | None = None
    while True:
        await asyncio.sleep(period_s)
        asked_s = now_s()
        try:
            has_answered = await in_thread(answers, QUESTION_S)
        except TimeoutError:
            has_answered = False
        except Exception as error:  # noqa: BLE001 the watch must go on, or nothing ends the run
            _log.warning("Ray's control service cannot be asked: %s", safe_message(error))
            has_answered = False
        if has_answered:
            if silent_since_s is not None:
                _log.info("Ray's control service is back", extra={"event": "control_back"})
            silent_since_s = None
            continue
        if silent_since_s is None:
            silent_since_s = asked_s
            _log.warning("Ray's control service is away", extra={"event": "control_away"})
        if now_s() - silent_since_s >= gone_after_s:
            return ControlServiceLostError(
                f"Ray's control service has not answered for {gone_after_s:.0f} s, so no worker "
                "can be started or replaced. Everything read so far is stored. Start the cluster "
                "again, then resume the job."
            )
