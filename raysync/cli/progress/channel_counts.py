"""How many channels came to what, in the same words everywhere: they add up to all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from raysync.cli.output import words
from raysync.models.events import JobView
from raysync.models.results import SyncJobResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCounts:
    """Channels and threads by what came of them; each is counted once."""

    synced: int = 0  #: read to their end
    unchanged: int = 0  #: asked nothing of
    skipped: int = 0
    failed: int = 0
    to_go: int = 0  #: of a job that runs
    not_finished: int = 0  #: of one that ended before they did
    not_begun: int = 0
    left_alone: int = 0  #: given up before

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, each) for each in self.__slots__)

    @property
    def left(self) -> int:
        """Those that are neither read nor given up, and were to be."""
        return self.to_go + self.not_finished + self.not_begun + self.left_alone

    def parts(self) -> list[str]:
        """Return the counts that are not 0, as ``9 synced``."""
        named = {each: getattr(self, each) for each in self.__slots__}
        return [
            f"{words.count(number)} {name.replace('_', ' ')}"
            for name, number in named.items()
            if number or name == "synced"
        ]

    def __str__(self) -> str:
        """Return ``64 channels: 9 synced, 4 skipped, 51 to go``."""
        return f"{words.counted(self.total, 'channel')}: {', '.join(self.parts())}"


def counts_of_view(view: JobView, *, is_running: bool = True) -> ChannelCounts:
    """Return the counts of a job of which nothing but the view is known."""
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
    """Return the counts of a job that ended, also of one of an earlier version."""
    states = Counter(each.status for each in result.channel_results)
    pending = [each for each in result.channel_results if each.status == "pending"]
    begun = sum(each.started_at is not None for each in pending)
    return ChannelCounts(
        synced=result.channels_processed,
        unchanged=result.channels_unchanged,
        skipped=len(result.skipped),
        failed=states["failed"],
        not_finished=begun,
        not_begun=len(pending) - begun,
        left_alone=max(result.channels_left - len(pending), 0),
    )
