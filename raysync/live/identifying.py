"""Pace of new sessions: Discord resets the token of a bot that begins too many in a day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from raysync.models.live import IdentifyBudget

RESERVE: Final = 100
"""Number of sessions a day that are left to the bot's other programs and to its operator."""
WITHIN_S: Final = 3600.0
"""Time in which earlier sessions slow down the next one, in seconds."""
CONCURRENCY_S: Final = 5.0
"""Seconds in which Discord lets `max_concurrency` sessions begin."""
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 600.0


def pause_s(ages_s: Sequence[float], budget: IdentifyBudget, shards: int = 1) -> float:
    """Return how many seconds the next session has to wait.

    *ages_s* says how many seconds ago sessions of the token began within `WITHIN_S`. Each round of
    the token's *shards* doubles the distance to the next, up to ten minutes: at most 17 rounds
    begin in an hour, whatever crashes. With no more than the reserve left, wait until Discord
    counts anew.
    """
    if budget.remaining <= RESERVE:
        return max(budget.reset_after_s, FIRST_PAUSE_S)
    if not ages_s:
        return 0.0
    rounds = len(ages_s) // shards
    distance_s = min(FIRST_PAUSE_S * 2.0 ** min(rounds - 1, 16), LONGEST_PAUSE_S) if rounds else 0.0
    recent = [age for age in ages_s if age < CONCURRENCY_S]
    if len(recent) >= budget.max_concurrency:
        distance_s = max(distance_s, CONCURRENCY_S)
    return max(distance_s - min(ages_s), 0.0)
