"""Queue of the channels that wait for a slot, fair between jobs.

No step iterates over all jobs or all items: thousands of jobs may be queued at once.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from typing import Generic, TypeVar

from raysync.models.ids import JobId

_T = TypeVar("_T")


class FairQueue(Generic[_T]):
    """Queue that returns the largest item of the job with the fewest slots.

    So jobs share the slots evenly: a backfill does not delay a small job, and each token is used.
    Among jobs with equally many slots, the one that has had that number the longest comes first.
    """

    def __init__(self) -> None:
        self._waiting: dict[JobId, list[tuple[float, int, _T]]] = {}
        self._slots: Counter[JobId] = Counter()
        self._by_slots: dict[int, dict[JobId, None]] = {}  # jobs that wait; never an empty dict
        self._order = itertools.count()
        self._length = 0

    def __len__(self) -> int:
        """Return the number of items in the queue."""
        return self._length

    def lengths(self) -> dict[JobId, int]:
        """Return the number of queued items of each job."""
        return {job_id: len(items) for job_id, items in self._waiting.items()}

    def push(self, job_id: JobId, left: float, item: _T) -> None:
        """Queue *item*, of which *left* remains to do; equal items keep their order."""
        if job_id not in self._waiting:
            self._waiting[job_id] = []
            self._enlist(job_id)
        heapq.heappush(self._waiting[job_id], (-left, next(self._order), item))
        self._length += 1

    def pop(self) -> _T | None:
        """Remove and return the next item; None where the queue is empty."""
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
        """Count one slot more for the job."""
        self._change_slots(job_id, 1)

    def give_slot_back(self, job_id: JobId) -> None:
        """Count one slot less for the job."""
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
