"""Observer of a run under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from raysync.models.events import JobView
from raysync.models.ids import JobId
from raysync.models.outage import Outage
from raysync.models.results import SyncJobResult


class RunObserver(Protocol):
    """Observer of a run, for a terminal or a log."""

    def ray_ready(self, dashboard_url: str | None, token_source: str | None) -> None:
        """Receive the dashboard's URL, and where its token is, once Ray has started.

        A local Ray's dashboard starts later; then this is called once more, with its URL.
        """
        ...

    def started(self, tenant: str, job_id: JobId) -> None:
        """Receive the id of a job that has begun."""
        ...

    def progress(self, views: Sequence[JobView]) -> None:
        """Receive the running jobs, about twice a second."""
        ...

    def database_away(self, outage: Outage) -> None:
        """Note that the database does not answer; called again when more is known of the outage."""
        ...

    def database_back(self, after_s: float) -> None:
        """Note that the database answers again."""
        ...

    def finished(self, result: SyncJobResult) -> None:
        """Receive the result of a job that has ended."""
        ...
