"""Everything that a run gives to Ray once it needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raysync.clock import Clock
from raysync.pool.early_visits import EarlyVisits
from raysync.run.active_jobs import ActiveJobs
from raysync.run.keys import RunKeys
from raysync.run.observer import RunObserver
from raysync.run.requests import Room
from raysync.settings import Settings
from raysync.worker.driver_governor import DriverGovernor


@dataclass(frozen=True, slots=True)
class RayPlan:
    """Parts of a run that exist before its Ray does."""

    settings: Settings
    keys: RunKeys
    room: Room
    bound: str | None  #: reason why workers may not run on other machines
    observer: RunObserver
    clock: Clock
    active: ActiveJobs
    governor: DriverGovernor
    early: EarlyVisits  #: reads channels while a local Ray starts
    in_flight: Callable[[], float]  #: requests in flight that use the tokens' budgets up
    on_ray: Callable[[], None]  #: called once Ray has started, which touches signal handlers
