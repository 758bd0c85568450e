"""What hears of a run while it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from raysync.models.events import JobView
from raysync.models.ids import JobId
from raysync.models.outage import Outage
from raysync.models.results import SyncJobResult


class RunObserver(Protocol):
    """Watches a run, for a terminal or a log."""

    def ray_ready(self, dashboard_url: str | None, needs_token: bool) -> None: ...

    def started(self, tenant: str, job_id: JobId) -> None: ...

    def progress(self, views: Sequence[JobView]) -> None:
        """The running jobs, about twice a second."""
        ...

    def database_away(self, outage: Outage) -> None:
        """The database does not answer; called again when more is known of the same outage."""
        ...

    def database_back(self, after_s: float) -> None:
        """The database answers again."""
        ...

    def finished(self, result: SyncJobResult) -> None: ...
