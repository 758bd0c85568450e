"""Fair queue, compared with a plain model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raysync.models.ids import JobId
from raysync.pool.fair_queue import FairQueue

ONE, OTHER = JobId("one"), JobId("other")


def test_the_largest_item_of_the_job_with_fewest_slots_comes_first() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push(ONE, 1.0, "one, small")
    queue.push(ONE, 9.0, "one, large")
    queue.push(OTHER, 2.0, "other")
    queue.take_slot(ONE)

    assert [queue.pop() for _ in range(4)] == ["other", "one, large", "one, small", None]


def test_jobs_with_equally_many_slots_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(2):
        queue.push(ONE, 1.0, f"one {number}")
        queue.push(OTHER, 1.0, f"other {number}")

    order = []
    for _ in range(4):
        item = queue.pop()
        assert item is not None
        queue.take_slot(ONE if item.startswith("one") else OTHER)
        order.append(item)

    assert order == ["one 0", "other 0", "one 1", "other 1"]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.booleans()), max_size=60))
def test_a_job_with_fewer_slots_never_waits_for_one_with_more(
    steps: list[tuple[int, int, bool]],
) -> None:
    queue: FairQueue[tuple[JobId, int]] = FairQueue()
    waiting: dict[JobId, list[int]] = {}
    slots: dict[JobId, int] = {}
    for number, left, takes in steps:
        job = JobId(str(number))
        queue.push(job, left, (job, left))
        waiting.setdefault(job, []).append(left)
        if not takes:
            continue
        item = queue.pop()
        assert item is not None
        chosen, largest = item
        assert slots.get(chosen, 0) == min(slots.get(other, 0) for other in waiting)
        assert largest == max(waiting[chosen])
        waiting[chosen].remove(largest)
        if not waiting[chosen]:
            del waiting[chosen]
        queue.take_slot(chosen)
        slots[chosen] = slots.get(chosen, 0) + 1
        if left % 2:
            queue.give_slot_back(chosen)
            slots[chosen] -= 1
    assert len(queue) == sum(map(len, waiting.values()))
