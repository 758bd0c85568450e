"""The figures of one attempt at a channel: its tally, its visits, and how much is left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from raysync.clock import Clock
from raysync.models.events import ChannelProgress
from raysync.models.work import ChannelTally, ChannelTask, VisitSpan
from raysync.sync.channels.counting import ChannelCount
from raysync.sync.channels.visits import with_visit
from raysync.sync.window import fraction_read


class AttemptProgress:
    """Counts what an attempt has done, and reports it."""

    def __init__(
        self,
        task: ChannelTask,
        worker_id: str,
        clock: Clock,
        started_at: datetime,
        on_progress: Callable[[ChannelProgress], None],
    ) -> None:
        self.counted = ChannelCount(task.done)
        self._task = task
        self._worker_id = worker_id
        self._clock = clock
        self._started_at = started_at
        self._on_progress = on_progress
        self._visit_from_s: float | None = None  #: Unix seconds

    @property
    def tally(self) -> ChannelTally:
        """The work done at the channel in this job so far."""
        return self.counted.tally

    def begin_visit(self) -> None:
        """Start the visit's clock."""
        self._visit_from_s = self._clock.now().timestamp()

    def report(self) -> None:
        """Hand the figures to the job's reporter."""
        progress = ChannelProgress(
            channel_id=self._task.channel_id,
            attempt=self._task.attempt,
            worker_id=self._worker_id,
            started_at=self._started_at,
            tally=self.tally,
            fraction=self._share_done(),
            visits=self.visits(),
        )
        self._on_progress(progress)

    def visits(self) -> tuple[VisitSpan, ...]:
        """Return the channel's visits in this job; the current one ends now."""
        began_s = self._visit_from_s
        if began_s is None:
            return self._task.visits
        ended_s = max(self._clock.now().timestamp(), began_s)
        span = VisitSpan(self._worker_id, began_s, ended_s, 1, ended_s - began_s)
        return with_visit(self._task.visits, span)

    def remaining_pages(self) -> float | None:
        """Estimate the pages of messages that are left; None before anything can be said."""
        fraction = self._fraction()
        if not fraction:
            return None
        return max(self.tally.pages * (1 - fraction) / fraction, 1.0)

    def _share_done(self) -> float | None:
        """Return the part of the channel that was read, including extras once they are counted."""
        extras = self.tally.extras
        if not extras.extras_counted:
            return self._fraction()
        whole = self.tally.pages + extras.extras_due
        done = self.tally.pages + min(extras.extras_done, extras.extras_due)
        return done / whole if whole else 1.0

    def _fraction(self) -> float | None:
        """Return the part that was read of the time from the first message to the last."""
        first, at = self.tally.first_message_id, self.tally.last_message_id
        last = self._task.last_message_id
        return fraction_read(first, at, last) if first and at and last else None
