"""A restarted tracker receives all of the job again, once; the calls need no Ray."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from raysync.actors.handles import RemoteTracker
from raysync.credentials import SealedInbox
from raysync.errors import SyncError, UnknownJobError
from tests.unit.sync.fakes import make_task
from tests.unit.worker.test_tracked_jobs import HEADER
from tests.virtual_time import run_virtual


class ForgetfulTracker:
    """Tracker that answers after 0.1 s, and knows a job once it was opened."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.knows = False
        self.errors: list[Exception] = []
        self._inbox = SealedInbox()

    def __getattr__(self, name: str) -> Any:
        async def answer(*_: Any) -> Any:
            self.calls[name] += 1
            is_known = self.knows or name in ("public_key", "connect", "open")
            if name == "open":
                self.knows = True
            await asyncio.sleep(0.1)
            if name == "open" and self.errors:
                self.knows = False
                raise self.errors.pop()
            if not is_known:
                raise UnknownJobError("who?")
            return self._inbox.public_key() if name == "public_key" else None

        return SimpleNamespace(remote=answer)


def test_a_job_is_sent_once_for_all_refused_calls() -> None:
    actor = ForgetfulTracker()
    tracker = RemoteTracker(actor, HEADER, "postgresql://")

    async def scenario() -> None:
        await tracker.open()
        await asyncio.gather(*(tracker.plan([make_task(each)], []) for each in range(50)))
        actor.knows = False
        actor.calls.clear()
        plans = [tracker.plan([make_task(50 + each)], []) for each in range(50)]
        await asyncio.gather(*plans, tracker.planned())
        await tracker.view(3)

    run_virtual(scenario())

    assert actor.calls["open"] == 1
    assert actor.calls["plan"] == 50 + 1 + 50


def test_a_failed_resend_is_repeated_by_the_next_call() -> None:
    actor = ForgetfulTracker()
    actor.errors = [SyncError("it died again")]
    tracker = RemoteTracker(actor, HEADER, "postgresql://")

    async def scenario() -> None:
        with pytest.raises(SyncError, match="died again"):
            await tracker.plan([make_task(1)], [])
        await tracker.plan([make_task(2)], [])

    run_virtual(scenario())

    assert actor.calls["open"] == 2
    assert tracker.figures(0).tracker_restarts == 2
