"""The priority and the length of one visit to a channel.

A worker reads more channels than it has slots. A channel gives its slot away while its rate-limit
bucket is empty, or after a few seconds where other channels wait.
"""

from __future__ import annotations

from raysync.clock import Clock
from raysync.models.work import ChannelTask, Parked
from raysync.sync.channels.attempt import AttemptProgress
from raysync.sync.ports import ChannelBucket

PARK_S = 0.05
"""Longest wait for a bucket, in seconds, during which a channel keeps its slot."""
VISIT_S = 2.0
"""Longest visit, in seconds, while other channels wait for the slot."""
LONG_VISIT_S = 3.0
"""Longest visit, in seconds, where nobody waited at its start: a worker may have started since."""
HEAD_START_S = 5.0
"""Maximum head start of a page, in seconds.

It applies in full in the middle of a visit under contention, since the buckets of channels that
are visited in turn refill in turn. Otherwise it grows with the pages left."""
HALF_START_PAGES = 15.0
"""Number of pages left that gives a channel half of the head start."""


class VisitPace:
    """Decides how early a channel's next page is due, and when its visit ends."""

    def __init__(
        self, task: ChannelTask, bucket: ChannelBucket, progress: AttemptProgress, clock: Clock
    ) -> None:
        self._task = task
        self._bucket = bucket
        self._progress = progress
        self._clock = clock
        self._is_sample = task.is_guess and not task.done.pages and not task.is_read
        self._began_s: float | None = None  #: when the first page was there

    def set_head_start(self) -> None:
        """Rank the channel's next page among the requests that wait for a permit.

        A visit whose slot others wait for is not to be drawn out. Otherwise the channels with the
        most pages left go first, so that all end together.
        """
        if self._task.is_hurried and self._progress.tally.pages > self._task.done.pages:
            self._bucket.head_start_s = HEAD_START_S
            return
        left = self._progress.remaining_pages() or self._task.expected_pages
        self._bucket.head_start_s = HEAD_START_S * left / (left + HALF_START_PAGES)

    def park(self) -> Parked | None:
        """Park the channel if its bucket is empty or its visit was long enough; None: read on."""
        left = self._progress.remaining_pages()
        return_s = self._bucket.pause_s()
        if return_s > PARK_S:
            if self._task.is_hurried:  # rarely, and for as many pages as the bucket can save up
                return_s = self._bucket.return_s(left or self._task.expected_pages)
        elif not self._is_long_enough():
            return None
        return Parked(return_s, left, self._bucket.ages_s())

    def gives_way_to_messages(self) -> bool:
        """Return whether extras have to wait, since messages of other channels go first."""
        return (self._task.is_hurried and not self._task.is_read) or self._is_long_enough()

    def _is_long_enough(self) -> bool:
        """Return whether the slot is due to others.

        A channel of unknown size gives it away after one page, which tells how much is left.
        """
        now_s = self._clock.monotonic_s()
        self._began_s = now_s if self._began_s is None else self._began_s
        if self._task.is_hurried:
            return self._is_sample or now_s - self._began_s > VISIT_S
        return now_s - self._began_s > LONG_VISIT_S
