"""What every observer of a run that is no live view has: a beat, and each failure told once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Self

from raysync.models.events import ChannelView, JobView
from raysync.models.ids import ChannelId, JobId
from raysync.models.outage import Outage
from raysync.models.results import ChannelError, SyncJobResult

PERIOD_S = 5.0


class PeriodicObserver(ABC):
    """Tells where jobs stand every few seconds; *monotonic_s* tells when that is due."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._due_s = 0.0
        self._told: set[tuple[JobId, ChannelId]] = set()
        self._outage: Outage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        return None

    def progress(self, views: Sequence[JobView]) -> None:
        """See `RunObserver`."""
        for view in views:
            self._tell_failures(view)
        now_s = self._monotonic_s()
        if now_s < self._due_s:
            return
        self._due_s = now_s + PERIOD_S
        if self._outage is not None:  # figures stand still, and rates sink
            self._tell_outage(self._outage)
            return
        for view in views:
            self._tell(view)

    def database_away(self, outage: Outage) -> None:
        """See `RunObserver`."""
        self._outage = outage
        self._due_s = self._monotonic_s() + PERIOD_S
        self._tell_outage(outage)

    def database_back(self, after_s: float) -> None:
        """See `RunObserver`."""
        self._outage = None
        self._tell_return(after_s)

    def has_told(self, result: SyncJobResult, error: ChannelError) -> bool:
        """Whether a channel's failure was told already: a view does not show all of them."""
        channel_id = ChannelId(int(error.channel_id or 0))
        return result.job_id is not None and (JobId(result.job_id), channel_id) in self._told

    def _tell_failures(self, view: JobView) -> None:
        for channel in view.channels:
            key = (view.job_id, channel.channel_id)
            if channel.failure is not None and key not in self._told:
                self._told.add(key)
                self._tell_failure(view, channel)

    @abstractmethod
    def _tell(self, view: JobView) -> None:
        """Say where one job stands."""

    @abstractmethod
    def _tell_outage(self, outage: Outage) -> None:
        """Say that the database does not answer."""

    @abstractmethod
    def _tell_return(self, after_s: float) -> None:
        """Say that the database answers again."""

    @abstractmethod
    def _tell_failure(self, view: JobView, channel: ChannelView) -> None:
        """Say that a channel was given up, which has its failure."""
