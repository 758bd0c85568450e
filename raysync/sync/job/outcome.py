"""Outcome of a job, as values from which the summary makes the public result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raysync.models.ids import ChannelId
from raysync.models.not_covered import NotCovered
from raysync.models.status import JobStatus
from raysync.models.work import (
    ArchiveTally,
    ChannelOutcome,
    ChannelTally,
    ChannelTask,
    Gap,
    Skipped,
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Problem that did not end the job."""

    channel_id: ChannelId | None
    message: str


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """End of a job, before it is put into the words of the result."""

    status: JobStatus
    outcomes: tuple[ChannelOutcome, ...]
    planned: tuple[ChannelTask, ...]
    skipped: tuple[Skipped, ...]
    unchanged: int  #: channels without a new message in Discord's lists
    troubles: tuple[Trouble, ...]
    gone: frozenset[ChannelId] = frozenset()  #: channels and threads that exist no more
    gaps: tuple[Gap, ...] = ()  #: ranges that were not proven complete when the job began
    not_covered: tuple[NotCovered, ...] = ()  #: routes that the API lacks
    cooling: frozenset[ChannelId] = frozenset()  #: given up before, and not read for some days
    archives: ArchiveTally | None = None  #: None: the job failed, or read a part of the guild

    @property
    def unfinished(self) -> tuple[ChannelTask, ...]:
        """Tasks that were planned and did not end."""
        ended = {outcome.channel_id for outcome in self.outcomes}
        return tuple(task for task in self.planned if task.channel_id not in ended)


def lost_channels(channels: Iterable[ChannelId]) -> list[Trouble]:
    """Return a trouble for each planned channel without an outcome, which would be a bug.

    A job with such a channel must not count as completed.
    """
    message = "it was not read to its end, for an unknown reason; the next run continues"
    return [Trouble(channel_id, message) for channel_id in channels]


def without_place(outcomes: Iterable[ChannelOutcome]) -> list[Trouble]:
    """Return a trouble for each channel with records that no row could be made of."""
    return [
        Trouble(outcome.channel_id, _unplaced_message(outcome.tally))
        for outcome in outcomes
        if outcome.tally.unplaced
    ]


def _unplaced_message(tally: ChannelTally) -> str:
    where = "; ".join(
        f"record {record.position} of the page after message {record.after}"
        for record in tally.unplaced_at
    )
    records = "1 record is" if tally.unplaced == 1 else f"{tally.unplaced} records are"
    return (
        f"{records} not stored, because no message id can be read there: {where}. These pages "
        "prove nothing, so every run reads them again. Look for a newer version of raysync."
    )
