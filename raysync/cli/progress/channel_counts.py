"""Numbers of channels by result, in the same words everywhere. They add up to all channels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from raysync.cli.output import words
from raysync.models.events import JobView
from raysync.models.results import SyncJobResult

_SHOWN_AS = {"not_begun": "not started", "left_alone": "in cooldown"}
"""Labels for people where a field is named otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCounts:
    """Numbers of channels and threads by result. Each is counted once."""

    synced: int = 0  #: read to their end
    unchanged: int = 0  #: without a request, since nothing is new
    skipped: int = 0
    failed: int = 0
    to_go: int = 0  #: of a running job
    not_finished: int = 0  #: started when the job ended
    not_begun: int = 0  #: not started when the job ended
    left_alone: int = 0  #: in cooldown: given up in earlier runs

    @property
    def total(self) -> int:
        """Number of all channels."""
        return sum(getattr(self, name) for name in self.__slots__)

    @property
    def left(self) -> int:
        """Number of channels still to read: neither synced, skipped nor failed."""
        return self.to_go + self.not_finished + self.not_begun + self.left_alone

    def parts(self) -> list[str]:
        """Return the counts that are not 0, as ``9 synced``."""
        counts = {name: getattr(self, name) for name in self.__slots__}
        return [
            f"{words.count(number)} {_SHOWN_AS.get(name, name.replace('_', ' '))}"
            for name, number in counts.items()
            if number or name == "synced"
        ]

    def __str__(self) -> str:
        """Return ``64 channels: 9 synced, 4 skipped, 51 to go``."""
        return f"{words.counted(self.total, 'channel')}: {', '.join(self.parts())}"


def counts_of_view(view: JobView, *, is_running: bool = True) -> ChannelCounts:
    """Return the counts of a job without a result, from its view."""
    left = max(view.channels_total - view.channels_completed - view.channels_failed, 0)
    return ChannelCounts(
        synced=view.channels_completed,
        unchanged=view.channels_unchanged,
        skipped=view.channels_skipped,
        failed=view.channels_failed,
        to_go=left if is_running else 0,
        not_finished=0 if is_running else left,
        left_alone=view.channels_cooling,
    )


def counts_of_result(result: SyncJobResult) -> ChannelCounts:
    """Return the counts of a job that has ended. Results of earlier versions work, too."""
    states = Counter(channel.status for channel in result.channel_results)
    pending = [channel for channel in result.channel_results if channel.status == "pending"]
    started = sum(channel.started_at is not None for channel in pending)
    return ChannelCounts(
        synced=result.channels_processed,
        unchanged=result.channels_unchanged,
        skipped=len(result.skipped),
        failed=states["failed"],
        not_finished=started,
        not_begun=len(pending) - started,
        left_alone=max(result.channels_left - len(pending), 0),
    )
