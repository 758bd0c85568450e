"""Visits to a channel, kept in bounded space.

A channel of an hour is read in hundreds of visits, seconds apart. If there are too many to keep,
neighbours that are short together are merged.
"""

from __future__ import annotations

from raysync.models.work import VisitSpan

MOST_VISITS = 16
"""Limit on the visits of one channel in one job: a picture can show them, and a row stays small."""


def with_visit(visits: tuple[VisitSpan, ...], visit: VisitSpan) -> tuple[VisitSpan, ...]:
    """Return *visits*, which are ordered by time, with one more at the end."""
    kept = [*visits, visit]
    while len(kept) > MOST_VISITS:
        place = min(range(len(kept) - 1), key=lambda at: _cost(kept[at], kept[at + 1]))
        kept[place : place + 2] = [_merged(kept[place], kept[place + 1])]
    return tuple(kept)


def _cost(one: VisitSpan, other: VisitSpan) -> tuple[bool, float]:
    """Return the loss of a merge: a second worker counts most, then the length of the span."""
    return one.worker_id != other.worker_id, other.ended_s - one.began_s


def _merged(one: VisitSpan, other: VisitSpan) -> VisitSpan:
    """Return both visits as one, of the worker that read longer."""
    longer = max(one, other, key=lambda visit: visit.read_s)
    return VisitSpan(
        longer.worker_id,
        one.began_s,
        other.ended_s,
        one.count + other.count,
        one.read_s + other.read_s,
    )
