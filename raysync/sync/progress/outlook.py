"""Estimate of a job's end: by the share of work done, and by the slowest channel."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from raysync.models.events import ChannelRow
from raysync.models.ids import ChannelId
from raysync.models.status import ChannelJobStatus
from raysync.sync.progress.channel_view import channel_view
from raysync.sync.progress.work_left import fraction_of

LEAST_FRACTION = 0.01
"""Share of the work that must be done before a remaining time is estimated."""


class SlowestChannel:
    """Estimate of when the slowest channel ends. No other channel's end speeds it up."""

    def __init__(
        self, rows: Mapping[ChannelId, ChannelRow], pages_per_second: float, now: datetime
    ) -> None:
        """*rows* are the job's channels, which the caller keeps up to date."""
        self._rows = rows
        self._pages_per_second = pages_per_second
        self._waiting: list[tuple[float, ChannelId]] = []  # heap of minus the pages left, and id
        self.ends_at = now  #: as of the last `scan`

    def add_waiting(self, row: ChannelRow) -> None:
        """Consider a channel that waits for a slot."""
        heapq.heappush(self._waiting, (-_pages_left(row), row.task.channel_id))

    def scan(self, running: Iterable[ChannelId], now: datetime) -> None:
        """Update `ends_at` by the slowest of the waiting and the *running* channels."""
        waiting = self._waiting
        while waiting and not self._still_waits(*waiting[0]):
            heapq.heappop(waiting)
        waiting_s = -waiting[0][0] / self._pages_per_second if waiting else 0.0
        running_s = (self._left_s(self._rows[channel_id], now) for channel_id in running)
        self.ends_at = now + timedelta(seconds=max(waiting_s, *running_s, 0.0))

    def _still_waits(self, minus_pages: float, channel_id: ChannelId) -> bool:
        row = self._rows[channel_id]
        return row.status is ChannelJobStatus.PENDING and -minus_pages == _pages_left(row)

    def _left_s(self, row: ChannelRow, now: datetime) -> float:
        """Return seconds left at the channel's own pace; before it has one, at its rate limit."""
        eta_s = channel_view(row, now).eta_s
        return _pages_left(row) / self._pages_per_second if eta_s is None else eta_s


def eta_s(fraction: float, elapsed_s: float, slowest_s: float) -> float | None:
    """Return the job's remaining seconds; None while too little is done for an estimate."""
    if fraction <= LEAST_FRACTION:
        return None
    return max(elapsed_s * (1 - fraction) / fraction, slowest_s)


def _pages_left(row: ChannelRow) -> float:
    return row.task.expected_pages * (1 - fraction_of(row))
