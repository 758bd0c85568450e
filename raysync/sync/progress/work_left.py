"""Share of a job that is done, counted in requests: pages of messages, then extras.

The number of missing extras of a channel is known once its messages have been read. Before that, it
is estimated from the reactions and attachments of the messages read so far.
"""

from __future__ import annotations

from dataclasses import dataclass

from raysync.models.events import ChannelRow
from raysync.models.extras import Extras
from raysync.models.status import ChannelJobStatus

_ENDED = (ChannelJobStatus.COMPLETED, ChannelJobStatus.FAILED)


def fraction_of(row: ChannelRow) -> float:
    """Return the share of a channel that is done, from 0 to 1."""
    if row.status in _ENDED:
        return 1.0
    if row.progress is None or row.progress.fraction is None:
        return 0.0
    return row.progress.fraction


@dataclass(slots=True)
class WorkLeft:
    """Sums over the channels of a job, updated with each change of a channel."""

    pages: float = 0.0  #: expected, of all channels
    pages_done: float = 0.0
    reactions: int = 0  #: of the messages read so far
    attachments: int = 0
    due: int = 0  #: extras of channels whose messages have been read
    done: int = 0  #: the part of `due` that is done
    seen_and_due: int = 0  #: the part of `due` in channels with messages read in this job
    reactions_counted: int = 0  #: the part of `reactions` in channels with counted extras
    attachments_counted: int = 0
    pages_uncounted: float = 0.0  #: of channels with extras that are not counted yet
    bare: int = 0  #: channels that lack only extras, and these are not counted yet
    bare_counted: int = 0
    bare_due: int = 0

    def add(self, row: ChannelRow, sign: int) -> None:
        """Add a channel, or remove it with a *sign* of -1."""
        tally, pages = row.tally, row.task.expected_pages
        extras, has_ended = tally.extras, row.status in _ENDED
        is_counted = bool(extras.extras_counted)
        is_bare = row.task.only_recheck and not row.task.recheck
        self.pages += sign * pages
        self.pages_done += sign * pages * (1.0 if is_counted else fraction_of(row))
        self.reactions += sign * tally.reactions
        self.attachments += sign * tally.attachments
        self.due += sign * extras.extras_due
        # Extras that an ended channel could not get count as done, so the estimate can reach 1.
        left = 0 if has_ended else max(extras.extras_due - extras.extras_done, 0)
        self.done += sign * (extras.extras_due - left)
        if is_bare:
            self.bare += sign * (not is_counted and not has_ended)
            self.bare_counted += sign * is_counted
            self.bare_due += sign * extras.extras_due
        elif is_counted:
            self.seen_and_due += sign * extras.extras_due
            self.reactions_counted += sign * tally.reactions
            self.attachments_counted += sign * tally.attachments
        elif not has_ended:
            self.pages_uncounted += sign * pages

    def fraction(self, extras: Extras) -> float | None:
        """Return the share of the job that is done; None if no work is known yet."""
        whole = self.pages + self.due + self._uncounted(extras)
        return min((self.pages_done + self.done) / whole, 1.0) if whole else None

    def _uncounted(self, extras: Extras) -> float:
        """Return the estimated extras of channels where they are not counted yet."""
        bare = self.bare * self.bare_due / self.bare_counted if self.bare_counted else 0.0
        if not extras or not self.pages_done:
            return bare
        seen = counted = 0
        if extras.reactors:
            seen, counted = self.reactions, self.reactions_counted
        if extras.files is not None:
            seen, counted = seen + self.attachments, counted + self.attachments_counted
        share_due = min(self.seen_and_due / counted, 1.0) if counted else 1.0
        return bare + share_due * seen / self.pages_done * self.pages_uncounted
