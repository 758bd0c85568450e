"""Recorder of database outages, for tests of a run's observer."""

from __future__ import annotations

from raysync.models.outage import Outage


class OutageRecorder:
    """`OutageObserver` that remembers its calls."""

    def __init__(self) -> None:
        self.outages: list[Outage] = []
        self.lasted_s: list[float] = []

    def database_away(self, outage: Outage) -> None:
        self.outages.append(outage)

    def database_back(self, after_s: float) -> None:
        self.lasted_s.append(after_s)
