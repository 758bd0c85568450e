"""Base of observers that report periodically, and report each failure once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Self

from raysync.models.events import ChannelView, JobView
from raysync.models.ids import ChannelId, JobId
from raysync.models.outage import Outage
from raysync.models.results import ChannelError, SyncJobResult

PERIOD_S = 5.0
"""Seconds between two progress reports."""


class PeriodicObserver(ABC):
    """Observer that reports progress every `PERIOD_S`, by the clock *monotonic_s*."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._due_s = 0.0
        self._reported: set[tuple[JobId, ChannelId]] = set()
        self._outage: Outage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        return None

    def progress(self, views: Sequence[JobView]) -> None:
        """See `RunObserver`."""
        for view in views:
            self._report_failures(view)
        now_s = self._monotonic_s()
        if now_s < self._due_s:
            return
        self._due_s = now_s + PERIOD_S
        if self._outage is not None:  # figures do not change meanwhile, and rates fall
            self._report_outage(self._outage)
            return
        for view in views:
            self._report(view)

    def database_away(self, outage: Outage) -> None:
        """See `RunObserver`."""
        self._outage = outage
        self._due_s = self._monotonic_s() + PERIOD_S
        self._report_outage(outage)

    def database_back(self, after_s: float) -> None:
        """See `RunObserver`."""
        self._outage = None
        self._report_return(after_s)

    def has_reported(self, result: SyncJobResult, error: ChannelError) -> bool:
        """Return whether a channel's failure was reported already. A view does not show all."""
        channel_id = ChannelId(int(error.channel_id or 0))
        return result.job_id is not None and (JobId(result.job_id), channel_id) in self._reported

    def _report_failures(self, view: JobView) -> None:
        for channel in view.channels:
            key = (view.job_id, channel.channel_id)
            if channel.failure is not None and key not in self._reported:
                self._reported.add(key)
                self._report_failure(view, channel)

    @abstractmethod
    def _report(self, view: JobView) -> None:
        """Report the progress of one job."""

    @abstractmethod
    def _report_outage(self, outage: Outage) -> None:
        """Report that the database does not answer."""

    @abstractmethod
    def _report_return(self, after_s: float) -> None:
        """Report that the database answers again."""

    @abstractmethod
    def _report_failure(self, view: JobView, channel: ChannelView) -> None:
        """Report that a channel was given up. `channel.failure` is set."""
