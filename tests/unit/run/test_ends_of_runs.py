"""Ends of runs that meet errors, or a Ray that cannot start or is still starting; without Ray."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raysync.errors import ConfigurationError
from raysync.models.ids import JobId
from raysync.models.results import RunResult
from raysync.run import driver, on_ray
from raysync.run.active_jobs import ActiveJobs
from raysync.run.driver import close_each
from raysync.run.on_ray import OnRay
from raysync.run.ray_use import RayUse
from raysync.sync.results.unstarted import failed_result
from tests.virtual_time import LoopClock

SOON_S = 5.0
STUCK_S = 20.0


class Stuck:
    """Call that does not return before the test ends."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def __call__(self) -> Any:
        self.ended.wait(STUCK_S)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    call = Stuck()
    yield call
    call.ended.set()


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets an entry for each time that Ray is left."""
    times: list[str] = []
    monkeypatch.setattr(on_ray, "leave", lambda: times.append("left"))
    return times


def test_each_part_is_closed_although_an_earlier_one_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed: list[str] = []

    async def fail() -> None:
        raise AttributeError("a part has no actor")

    async def close() -> None:
        closed.append("later")

    with caplog.at_level(logging.ERROR):
        asyncio.run(close_each(fail, close))

    assert closed == ["later"]
    assert [getattr(record, "event", None) for record in caplog.records] == ["close_failed"]


def test_a_second_interruption_waits_for_no_ray_that_is_starting(
    stuck: Stuck, left: list[str]
) -> None:
    use = RayUse(cast("Any", None))
    use._start_local = stuck  # type: ignore[method-assign]

    async def scenario() -> None:
        starting = asyncio.create_task(use.started())
        await asyncio.sleep(0.1)
        await use.end_workers()
        closing = asyncio.create_task(use.close())
        await asyncio.sleep(0.1)
        assert not closing.done(), "the first interruption waits"
        closing.cancel()
        await asyncio.wait([closing, starting])

    began_s = time.monotonic()
    asyncio.run(scenario())

    assert time.monotonic() - began_s < SOON_S
    assert left == [], "it would wait for the start"


def test_ray_is_left_although_its_actors_are_not_ended(left: list[str]) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        use = RayUse(cast("Any", None))
        use._present = cast("Any", SimpleNamespace(close=never))
        closing = asyncio.create_task(use.close())
        await asyncio.sleep(0.01)
        closing.cancel()
        await asyncio.wait([closing])

    asyncio.run(scenario())

    assert left == ["left"]


def test_the_end_of_a_run_waits_for_no_dashboard(
    stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "open_dashboard", stuck)

    async def scenario() -> None:
        started = asyncio.Event()
        started.set()
        use = object.__new__(OnRay)
        use.actors = cast("Any", SimpleNamespace(worker_started=started))
        opening = asyncio.create_task(use._open_dashboard(lambda _: None))
        await asyncio.sleep(0.1)
        opening.cancel()
        await asyncio.wait([opening])

    began_s = time.monotonic()
    asyncio.run(scenario())

    assert time.monotonic() - began_s < SOON_S


class FakeRay:
    """Local Ray that cannot start; the first job that needs it notices."""

    def __init__(self) -> None:
        self.failure: Exception | None = None

    async def end_workers(self) -> None:
        pass

    close = end_workers


class FakeJob:
    """Job that plans, and then needs Ray. *run* is that of `TenantJob`."""

    begun: list[str]
    ray: FakeRay
    is_begun = True

    def __init__(self, _: Any, tenant: Any) -> None:
        self.tenant = tenant
        self.job_id: JobId | None = None

    async def run(self) -> Any:
        error = ConfigurationError("Cannot use a local Ray: the disk is full.")
        self.begun.append(self.tenant.slug)
        self.ray.failure = error
        if not self.is_begun:
            raise error
        self.job_id = JobId("job")
        return failed_result(self.job_id, self.tenant.slug, error, LoopClock.start)


class QuietOutages:
    """No outage."""

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def answers(self, _: asyncio.Event) -> None:
        pass


def run_without_ray(job: type[FakeJob], slugs: list[str]) -> RunResult:
    """Run jobs, one after the other, on a Ray that cannot start."""

    async def nothing(*_: object) -> None:
        pass

    async def scenario() -> RunResult:
        job.begun, job.ray = [], FakeRay()
        part = SimpleNamespace(close=nothing, end=nothing)
        run = cast("Any", object.__new__(driver._Run))
        run._is_local, run._on_ray, run._active = True, lambda: None, ActiveJobs()
        run._outages, run._turns, run._ray = QuietOutages(), asyncio.Semaphore(1), job.ray
        run._observer = SimpleNamespace(finished=lambda _: None)
        run._keys = SimpleNamespace(require=lambda _: None)
        run._clock = SimpleNamespace(now=lambda: LoopClock.start)
        run._parts = None
        run._planning = run._tracked = run._governor = part
        tenants = [SimpleNamespace(slug=slug) for slug in slugs]
        result: RunResult = await run.sync_all(tenants, asyncio.Event())
        return result

    return asyncio.run(scenario())


def test_jobs_that_had_begun_have_failed_where_ray_cannot_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver, "TenantJob", FakeJob)
    monkeypatch.setattr(driver, "show_progress", lambda *_: asyncio.Event().wait())

    result = run_without_ray(FakeJob, ["first", "second"])

    assert [(job.tenant, job.status, job.job_id) for job in result.jobs] == [
        ("first", "failed", "job"),
        ("second", "failed", ""),
    ]
    assert {error.error for job in result.jobs for error in job.errors} == {
        "Cannot use a local Ray: the disk is full."
    }
    assert FakeJob.begun == ["first"], "later tenants request no lists"


def test_a_run_without_a_job_raises_why_ray_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unbegun(FakeJob):
        is_begun = False

    monkeypatch.setattr(driver, "TenantJob", Unbegun)
    monkeypatch.setattr(driver, "show_progress", lambda *_: asyncio.Event().wait())

    with pytest.raises(ConfigurationError, match="Cannot use a local Ray"):
        run_without_ray(Unbegun, ["first", "second"])
