"""What waits for a slot, job by job.

No step looks at all jobs or all that waits: thousands of jobs may lie beside each other.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from typing import Generic, TypeVar

from raysync.models.ids import JobId

_T = TypeVar("_T")


class FairQueue(Generic[_T]):
    """Next comes, of a job with the fewest slots, what has the most left to do.

    So jobs share the slots evenly: a small one is not kept waiting by a backfill beside it, and
    each token is used. Among jobs with as many slots, the one that has been so the longest.
    """

    def __init__(self) -> None:
        self._waiting: dict[JobId, list[tuple[float, int, _T]]] = {}
        self._slots: Counter[JobId] = Counter()
        self._by_slots: dict[int, dict[JobId, None]] = {}  # those that wait; no empty ones
        self._order = itertools.count()
        self._length = 0

    def __len__(self) -> int:
        """How much waits."""
        return self._length

    def lengths(self) -> dict[JobId, int]:
        """How much waits of each job."""
        return {job_id: len(each) for job_id, each in self._waiting.items()}

    def push(self, job_id: JobId, left: float, item: _T) -> None:
        """Have *item* wait; so much is *left* to do of it. As much as another: it comes later."""
        if job_id not in self._waiting:
            self._waiting[job_id] = []
            self._enlist(job_id)
        heapq.heappush(self._waiting[job_id], (-left, next(self._order), item))
        self._length += 1

    def pop(self) -> _T | None:
        """Take what is next; None where nothing waits."""
        if not self._waiting:
            return None
        job_id = next(iter(self._by_slots[min(self._by_slots)]))
        *_, item = heapq.heappop(self._waiting[job_id])
        self._length -= 1
        if not self._waiting[job_id]:
            self._delist(job_id)
            del self._waiting[job_id]
        return item

    def take_slot(self, job_id: JobId) -> None:
        """The job has one slot more."""
        self._change_slots(job_id, 1)

    def give_slot_back(self, job_id: JobId) -> None:
        """The job has one slot less."""
        self._change_slots(job_id, -1)

    def _change_slots(self, job_id: JobId, by: int) -> None:
        waits = job_id in self._waiting
        if waits:
            self._delist(job_id)
        self._slots[job_id] += by
        if not self._slots[job_id]:
            del self._slots[job_id]
        if waits:
            self._enlist(job_id)

    def _enlist(self, job_id: JobId) -> None:
        self._by_slots.setdefault(self._slots[job_id], {})[job_id] = None

    def _delist(self, job_id: JobId) -> None:
        jobs = self._by_slots[self._slots[job_id]]
        del jobs[job_id]
        if not jobs:
            del self._by_slots[self._slots[job_id]]
