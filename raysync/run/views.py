"""Views of the running jobs, for the observer of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from raysync.errors import SyncError
from raysync.models.ids import JobId
from raysync.run.observer import RunObserver
from raysync.worker.job_tracker import JobTracker

VIEW_PERIOD_S = 0.5
VIEWS_PER_S = 20.0
"""Maximum number of views per second: each is a call of the tracker."""
SHOWN_CHANNELS = 30


async def show_progress(trackers: Mapping[JobId, JobTracker], observer: RunObserver) -> None:
    """Pass the views of all jobs in *trackers* to *observer*, without end."""
    while True:
        await asyncio.sleep(max(VIEW_PERIOD_S, len(trackers) / VIEWS_PER_S))
        views = []
        for tracker in list(trackers.values()):
            with suppress(SyncError):  # an unavailable tracker is shown again when it is back
                views.append(await tracker.view(SHOWN_CHANNELS))
        if views:
            observer.progress(views)
