"""Permits as they cross processes: who asks, for how many, and what is granted.

A worker asks the rate-limit governor for permits of a token. Each permit is for one request.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sharer:
    """One worker of one run, as the governor knows it.

    Runs on a token share it evenly. The workers of a run share its part by what is left to do.
    """

    run: str
    worker: str


@dataclass(frozen=True, slots=True)
class Use:
    """The use of one permit, on the governor's clock."""

    start_s: float
    arrived_s: float | None
    """Upper bound of the request's arrival less the jitter; None: the permit will not be used."""


@dataclass(frozen=True, slots=True)
class Bequest:
    """A token that a governor leaves to another one on the same machine, which has its clock.

    The heir continues the claim in the ledger, and the pace, where they stand.
    """

    left_at_s: float
    claimant: str  #: name of the claim in the ledger
    requested: int
    granted: int  #: requests per second, all of which may be used
    expires_s: float
    next_s: float  #: start of the next permit by the pace
    last_s: float  #: start of the last permit
    uses: tuple[Use, ...]  #: of the permits that may share a second with new ones


@dataclass(frozen=True, slots=True)
class Demand:
    """The permits that a worker asks for, and the use of those it had."""

    permits: int
    uses: tuple[Use, ...] = ()
    weight: float = 1.0  #: work left where the permits go, compared with other workers


@dataclass(frozen=True, slots=True)
class Lease:
    """Permits for one worker, each for one request.

    *granted_at_s* is on the governor's own clock, *starts* are offsets from it. A permit may be
    used from its start and for *valid_for_s*; then it lapses. A lease without permits says in
    *ask_again_s* when the worker may get one.
    """

    granted_at_s: float
    starts: tuple[float, ...]
    valid_for_s: float
    ask_again_s: float = 0.0
