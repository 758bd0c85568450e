"""Outage of the database, as a run sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ServerState:
    """State of the embedded server during an outage."""

    reason: str | None = None  #: reason of its end, from its log
    is_stopped: bool = False  #: stopped on purpose, so it is not started again


@dataclass(frozen=True, slots=True)
class Outage:
    """Period in which the database does not answer."""

    since: datetime  #: time of the last answer
    until: datetime  #: time at which the run gives up
    reason: str
    is_stopped: bool = False  #: as in `ServerState`
