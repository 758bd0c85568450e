"""Leave for one request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one request."""

    start_s: float  #: on the governor's clock: its name there
    opens_s: float  #: on ours, as what follows
    closes_s: float
