"""When a channel was read: its visits, told in bounded space.

A channel of an hour is read in hundreds of visits, seconds apart. Where they are too many to be
told one by one, neighbours that are short together are told as one.
"""

from __future__ import annotations

from raysync.models.work import VisitSpan

MOST_VISITS = 16
"""Of one channel in one job: so many can be told apart in a picture, and a row stays small."""


def with_visit(visits: tuple[VisitSpan, ...], visit: VisitSpan) -> tuple[VisitSpan, ...]:
    """*visits*, which are in the order of time, and one more after them."""
    told = [*visits, visit]
    while len(told) > MOST_VISITS:
        place = min(range(len(told) - 1), key=lambda at: _cost(told[at], told[at + 1]))
        told[place : place + 2] = [_together(told[place], told[place + 1])]
    return tuple(told)


def _cost(one: VisitSpan, other: VisitSpan) -> tuple[bool, float]:
    """What is lost when they are told as one: who read, above all; else how long the span gets."""
    return one.worker_id != other.worker_id, other.ended_s - one.began_s


def _together(one: VisitSpan, other: VisitSpan) -> VisitSpan:
    """Both as one, by the worker that read longer."""
    longer = max(one, other, key=lambda each: each.read_s)
    return VisitSpan(
        longer.worker_id,
        one.began_s,
        other.ended_s,
        one.count + other.count,
        one.read_s + other.read_s,
    )
