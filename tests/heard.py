"""What a run's observer is told of outages of the database."""

from __future__ import annotations

from raysync.models.outage import Outage


class Heard:
    """Satisfies `OutageObserver`, and remembers."""

    def __init__(self) -> None:
        self.outages: list[Outage] = []
        self.lasted_s: list[float] = []

    def database_away(self, outage: Outage) -> None:
        self.outages.append(outage)

    def database_back(self, after_s: float) -> None:
        self.lasted_s.append(after_s)
