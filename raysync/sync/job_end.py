"""How a job ended, before it is put into the result's words."""

from __future__ import annotations

from dataclasses import dataclass

from raysync.models.ids import ChannelId
from raysync.models.not_covered import NotCovered
from raysync.models.status import JobStatus
from raysync.models.work import ChannelOutcome, ChannelTask, Gap, Skipped


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong without ending the job."""

    channel_id: ChannelId | None
    message: str


@dataclass(frozen=True, slots=True)
class JobEnd:
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

    @property
    def unfinished(self) -> tuple[ChannelTask, ...]:
        """What was planned and did not end."""
        ended = {each.channel_id for each in self.outcomes}
        return tuple(each for each in self.planned if each.channel_id not in ended)
