"""What a run leaves out because a tail has listened, and what a run tells the tail's record."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from raysync.models.live import ListenedTenant
from raysync.models.status import SyncType
from raysync.models.work import SyncWindow
from raysync.run.requests import DEFAULT_LOOKBACK_S

LOOK_BACK_EVERY: Final = timedelta(days=1)
"""Time after which a run looks back although a tail has listened."""
NEVER_S: Final = 100 * 366 * 86400.0
"""Window in which no list of archived threads gets a turn: only signs of news make it due."""


def relied(window: SyncWindow, state: ListenedTenant | None, now: datetime) -> SyncWindow:
    """Return the window without what a tail has heard.

    The tail must be alive and connected, must have listened without a gap since before the last run
    that compared everything, and that run must have ended; and the last look-back must be of
    today. Otherwise the window stays as it is.
    """
    if window.sync_type is not SyncType.INCREMENTAL or not window.is_whole or state is None:
        return window
    is_listening = state.is_alive and state.interrupted_at is None
    if not is_listening or state.listened_since is None or state.settled_at is None:
        return window
    if state.settled_at < state.listened_since:
        return window
    looked_back_at = state.looked_back_at
    if looked_back_at is None or now - looked_back_at > LOOK_BACK_EVERY:
        return window
    return replace(
        window,
        lookback_s=0.0,
        archives_every_s=NEVER_S,
        listened_since=state.listened_since,
    )


def settles(window: SyncWindow) -> bool:
    """Return whether a run with this window compares everything that a tail may have missed."""
    is_reading = window.sync_type is not SyncType.VERIFY and window.is_whole
    looks_back = window.sync_type is SyncType.FULL or window.lookback_s >= DEFAULT_LOOKBACK_S
    return is_reading and looks_back and window.listened_since is None
