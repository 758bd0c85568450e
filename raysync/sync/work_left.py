"""How much of a job is done, counted in requests: pages of messages, then extras.

How many extras a channel lacks is known when its messages have been read. Before, it is estimated
from the reactions and attachments of the messages that were read so far.
"""

from __future__ import annotations

from dataclasses import dataclass

from raysync.models.events import ChannelRow
from raysync.models.extras import Extras
from raysync.models.status import ChannelJobStatus

_ENDED = (ChannelJobStatus.COMPLETED, ChannelJobStatus.FAILED)


def fraction_of(row: ChannelRow) -> float:
    """How much of a channel is done."""
    if row.status in _ENDED:
        return 1.0
    if row.progress is None or row.progress.fraction is None:
        return 0.0
    return row.progress.fraction


@dataclass(slots=True)
class Work:
    """Sums over the channels of a job, kept up with each change of one."""

    pages: float = 0.0  #: expected, of all channels
    pages_done: float = 0.0
    reactions: int = 0  #: in the messages that were read
    attachments: int = 0
    due: int = 0  #: extras of the channels whose messages are read
    done: int = 0  #: of these
    seen_and_due: int = 0  #: of `due`, those of channels of which messages were read
    reactions_counted: int = 0  #: of `reactions`, those of channels whose extras are counted
    attachments_counted: int = 0
    pages_uncounted: float = 0.0  #: of channels whose extras are not counted yet
    bare: int = 0  #: channels of which nothing but extras is missing, and not counted yet
    bare_counted: int = 0
    bare_due: int = 0

    def add(self, row: ChannelRow, sign: int) -> None:
        """Count a channel, or with -1 no more."""
        tally, pages = row.tally, row.task.expected_pages
        extras, has_ended = tally.extras, row.status in _ENDED
        is_counted = bool(extras.extras_counted)
        is_bare = row.task.only_recheck and not row.task.recheck
        self.pages += sign * pages
        self.pages_done += sign * pages * (1.0 if is_counted else fraction_of(row))
        self.reactions += sign * tally.reactions
        self.attachments += sign * tally.attachments
        self.due += sign * extras.extras_due
        # what was in the way of the rest is in the way of an estimate no more
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
        """How much of the job is done; None: nothing is known of it."""
        whole = self.pages + self.due + self._uncounted(extras)
        return min((self.pages_done + self.done) / whole, 1.0) if whole else None

    def _uncounted(self, extras: Extras) -> float:
        """Estimate the extras of channels of which they are not counted yet."""
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
