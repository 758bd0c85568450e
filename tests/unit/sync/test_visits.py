"""Visits of a channel are kept in bounded space, and none is lost."""

from __future__ import annotations

from itertools import pairwise

from raysync.models.work import VisitSpan
from raysync.sync.channels.visits import MOST_VISITS, with_visit


def visit(began_s: float, length_s: float = 1.0, worker: str = "worker-0") -> VisitSpan:
    return VisitSpan(worker, began_s, began_s + length_s, 1, length_s)


def kept(*visits: VisitSpan) -> tuple[VisitSpan, ...]:
    result: tuple[VisitSpan, ...] = ()
    for one in visits:
        result = with_visit(result, one)
    return result


def test_few_visits_are_kept_one_by_one() -> None:
    visits = [visit(5.0 * number) for number in range(MOST_VISITS)]

    assert kept(*visits) == tuple(visits)


def test_many_visits_are_merged_without_losing_one() -> None:
    result = kept(*(visit(5.0 * number) for number in range(720)))

    assert len(result) == MOST_VISITS
    assert sum(span.count for span in result) == 720
    assert sum(span.read_s for span in result) == 720.0
    assert (result[0].began_s, result[-1].ended_s) == (0.0, 5.0 * 719 + 1)
    assert all(one.ended_s <= other.began_s for one, other in pairwise(result))
    assert max(span.count for span in result) < 4 * 720 / MOST_VISITS


def test_a_long_pause_stays_a_pause() -> None:
    early = [visit(5.0 * number) for number in range(40)]
    late = [visit(10_000 + 5.0 * number) for number in range(40)]

    result = kept(*early, *late)

    pauses = [other.began_s - one.ended_s for one, other in pairwise(result)]
    assert max(pauses) > 9_000


def test_visits_of_one_worker_are_merged_first() -> None:
    visits = [visit(5.0 * number) for number in range(MOST_VISITS)]
    elsewhere = visit(visits[-1].ended_s + 0.1, 0.1, "worker-1")  # short, and right behind

    assert elsewhere in kept(*visits, elsewhere, *(visit(100 + 5.0 * n) for n in range(4)))
