"""The right to send one request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to send one request."""

    start_s: float  #: on the governor's clock, where it identifies the permit
    opens_s: float  #: on the worker's clock, as the next one
    closes_s: float
