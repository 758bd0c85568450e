"""An outage of the database, as a run sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ServerState:
    """The embedded server during an outage."""

    reason: str | None = None  #: why it stopped, as its log says
    is_stopped: bool = False  #: somebody stopped it on purpose, so it is not started again


@dataclass(frozen=True, slots=True)
class Outage:
    """A database that does not answer."""

    since: datetime  #: its last answer
    until: datetime  #: when the run gives up
    reason: str
    is_stopped: bool = False  #: as in `ServerState`
