"""Record of one job's channels: planned, ended, or left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from raysync.models.entities import Channel
from raysync.models.ids import ChannelId
from raysync.models.not_covered import NotCovered
from raysync.models.status import JobStatus
from raysync.models.work import ArchiveTally, ChannelOutcome, ChannelTask, Gap, Skipped
from raysync.sync.job.outcome import JobOutcome, Trouble, lost_channels, without_place


@dataclass(slots=True)
class JobLedger:
    """Channels of one job, from the plan to the outcome."""

    tasks: dict[ChannelId, ChannelTask] = field(default_factory=dict)
    in_flight: dict[ChannelId, Channel] = field(default_factory=dict)  #: of tasks without outcome
    outcomes: dict[ChannelId, ChannelOutcome] = field(default_factory=dict)
    skipped: dict[ChannelId, Skipped] = field(default_factory=dict)
    seen: set[ChannelId] = field(default_factory=set)  #: channels and threads that a list named
    not_read: set[ChannelId] = field(default_factory=set)  #: lists with them are not settled
    cooling: set[ChannelId] = field(default_factory=set)  #: given up before, not read for now
    gone: set[ChannelId] = field(default_factory=set)  #: Discord says that they do not exist
    gaps: list[Gap] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    archives: ArchiveTally | None = None  #: None: the job did not get as far, or was of a part
    unchanged: int = 0  #: channels without a new message in Discord's lists

    def has_ended(self, channel_id: ChannelId) -> bool:
        """Return whether the channel was read to its end."""
        outcome = self.outcomes.get(channel_id)
        return outcome is not None and outcome.failure is None

    def unfinished(self) -> set[ChannelId]:
        """Return the channels that were not read to their end."""
        return {channel for channel in self.tasks if not self.has_ended(channel)} | self.not_read

    def close(self, status: JobStatus | None, not_covered: tuple[NotCovered, ...]) -> JobOutcome:
        """Return how the job ended; without *status*, the channels decide."""
        outcomes = tuple(self.outcomes.values())
        self.troubles += without_place(outcomes)
        if status is None:
            self.troubles += lost_channels(self.tasks.keys() - self.outcomes.keys())
            failed = any(outcome.failure is not None for outcome in outcomes) or bool(self.troubles)
            status = JobStatus.PARTIAL if failed else JobStatus.COMPLETED
        return JobOutcome(
            status=status,
            outcomes=outcomes,
            planned=tuple(self.tasks.values()),
            skipped=tuple(self.skipped.values()),
            unchanged=self.unchanged,
            troubles=tuple(self.troubles),
            gone=frozenset(self.gone),
            gaps=tuple(self.gaps),
            not_covered=not_covered,
            cooling=frozenset(self.cooling),
            archives=self.archives,
        )
