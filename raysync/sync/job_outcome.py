"""How a job ended, before it is put into the result's words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raysync.models.ids import ChannelId
from raysync.models.not_covered import NotCovered
from raysync.models.status import JobStatus
from raysync.models.work import ChannelOutcome, ChannelTally, ChannelTask, Gap, Skipped


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong without ending the job."""

    channel_id: ChannelId | None
    message: str


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job ended, before it is put into the result's words."""

    status: JobStatus
    outcomes: tuple[ChannelOutcome, ...]
    planned: tuple[ChannelTask, ...]
    skipped: tuple[Skipped, ...]
    unchanged: int  #: channels of which Discord's own lists say that they hold nothing new
    troubles: tuple[Trouble, ...]
    gone: frozenset[ChannelId] = frozenset()  #: channels and threads that exist no more
    gaps: tuple[Gap, ...] = ()  #: what was not proven when the job began
    not_covered: tuple[NotCovered, ...] = ()  #: what the API has no route for
    cooling: frozenset[ChannelId] = frozenset()  #: given up before, and left alone for some days

    @property
    def unfinished(self) -> tuple[ChannelTask, ...]:
        """What was planned and did not end."""
        ended = {each.channel_id for each in self.outcomes}
        return tuple(each for each in self.planned if each.channel_id not in ended)


def lost_channels(channels: Iterable[ChannelId]) -> list[Trouble]:
    """A job is not completed with a channel of which nobody has told: that would be a bug."""
    told = "it was not read to its end, for no reason that is known; the next run goes on"
    return [Trouble(each, told) for each in channels]


def without_place(outcomes: Iterable[ChannelOutcome]) -> list[Trouble]:
    """Name the records of pages that no row could be made of, by channel."""
    return [Trouble(each.channel_id, _told(each.tally)) for each in outcomes if each.tally.unplaced]


def _told(tally: ChannelTally) -> str:
    where = "; ".join(
        f"record {each.position} of the page after message {each.after}"
        for each in tally.unplaced_at
    )
    records = "1 record is" if tally.unplaced == 1 else f"{tally.unplaced} records are"
    return (
        f"{records} not stored, because no id of a message can be read there: {where}. Nothing "
        "counts as proven there, so every run reads it again. Look for a newer version of raysync."
    )
