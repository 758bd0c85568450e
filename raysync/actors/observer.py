"""What hears of a run while it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from raysync.models.events import JobView
from raysync.models.ids import JobId
from raysync.models.results import SyncJobResult


class RunObserver(Protocol):
    """Watches a run, for a terminal or a log."""

    def ray_ready(self, dashboard_url: str | None, needs_token: bool) -> None: ...

    def started(self, tenant: str, job_id: JobId) -> None: ...

    def progress(self, views: Sequence[JobView]) -> None:
        """The running jobs, about twice a second."""
        ...

    def finished(self, result: SyncJobResult) -> None: ...
