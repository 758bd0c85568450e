"""Dispatcher with fake workers in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from raysync.actors.cluster import RunActors
from raysync.errors import SyncError, TokenUnavailableError
from raysync.models.ids import ChannelId, JobId
from raysync.models.not_covered import MissingRoute
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, ChannelTally, ChannelTask
from raysync.pool.dispatch import Dispatcher
from raysync.pool.policies import (
    ClusterScaling,
    FailurePolicy,
    LocalScaling,
    WorkerLostError,
    WorkerPreemptedError,
)
from raysync.pool.workers import WorkersUnavailableError
from tests.unit.sync.fakes import make_task
from tests.virtual_time import LoopClock, run_virtual


class FakeWorker:
    """Worker that takes one second per expected page."""

    def __init__(self, number: int, workers: FakeWorkers) -> None:
        self.worker_id = f"worker-{number}"
        self.node_id = f"node-{number}"
        self.workers = workers
        self.alive = True
        self.dying = asyncio.Event()
        self.slots = asyncio.Semaphore(workers.slots)

    async def start(self) -> None:
        await asyncio.sleep(self.workers.start_s)
        if self.workers.start_errors:
            raise self.workers.start_errors.pop(0)
        self.workers.started.append(self)

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        self.workers.calls.append((self.worker_id, task.channel_id))
        self.workers.are_hurried.append(task.is_hurried)
        self.workers.known_missing.append(task.missing_routes)
        async with self.slots:
            return await self._read(task)

    async def _read(self, task: ChannelTask) -> ChannelOutcome:
        if task.channel_id in self.workers.refusals:
            raise self.workers.refusals[task.channel_id]
        self.workers.running += 1
        self.workers.most_running = max(self.workers.most_running, self.workers.running)
        started_at = self.workers.clock.now()
        try:
            working = asyncio.create_task(asyncio.sleep(task.expected_pages))
            dying = asyncio.create_task(self.dying.wait())
            await asyncio.wait({working, dying}, return_when=asyncio.FIRST_COMPLETED)
            dead = dying.done()
            working.cancel()
            dying.cancel()
            if dead or task.channel_id in self.workers.deadly_channels:
                self.dying.set()
                raise self.workers.lost_error("killed")
        finally:
            self.workers.running -= 1
        return ChannelOutcome(
            task.channel_id,
            ChannelJobStatus.COMPLETED,
            self.worker_id,
            task.attempt,
            started_at,
            self.workers.clock.now(),
            ChannelTally(not_covered=self.workers.missing_routes.get(task.channel_id, ())),
            0,
            is_worker_full=self.workers.report_full,
        )

    async def close_job(self, job_id: JobId) -> None:
        return

    async def close(self) -> None:
        self.alive = False

    def kill(self) -> None:
        self.alive = False
        self.dying.set()


class FakeWorkers:
    """Fake workers of a test: what they do, and what they were asked."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.started: list[FakeWorker] = []
        self.spawned: list[FakeWorker] = []
        self.calls: list[tuple[str, ChannelId]] = []
        self.start_errors: list[Exception] = []
        self.deadly_channels: set[ChannelId] = set()
        self.refusals: dict[ChannelId, Exception] = {}
        self.are_hurried: list[bool] = []
        self.missing_routes: dict[ChannelId, tuple[MissingRoute, ...]] = {}
        self.known_missing: list[tuple[MissingRoute, ...]] = []
        self.lost_error: type[WorkerLostError] = WorkerLostError
        self.slots = 1
        self.start_s = 0.5
        self.report_full = False
        self.running = self.most_running = 0

    def spawn(self, number: int) -> FakeWorker:
        self.spawned.append(FakeWorker(number, self))
        return self.spawned[-1]

    def dispatcher(self, size: int, slots: int, *, is_sparing: bool = False) -> Dispatcher:
        self.slots = slots
        scaling = LocalScaling(size, slots) if is_sparing else ClusterScaling(size, slots, 2)
        return Dispatcher(self.spawn, slots, self.clock, scaling, RunActors.new_slot_pool)


async def run_all(
    dispatcher: Dispatcher, tasks: list[ChannelTask], meanwhile: Callable[[], None] | None = None
) -> list[ChannelOutcome]:
    running = [asyncio.create_task(dispatcher.run(task)) for task in tasks]
    if meanwhile is not None:
        await asyncio.sleep(1.0)
        meanwhile()
    return list(await asyncio.gather(*running))


def test_all_slots_are_filled_and_no_more() -> None:
    workers = FakeWorkers()
    tasks = [make_task(number, expected_pages=3.0) for number in range(30)]

    outcomes = run_virtual(run_all(workers.dispatcher(2, 5), tasks))

    assert len(outcomes) == 30
    assert workers.most_running == 10
    assert len(workers.spawned) == 2


def test_who_waits_long_for_a_worker_is_told_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    workers = FakeWorkers()
    workers.start_s = 500.0

    run_virtual(run_all(workers.dispatcher(2, 5), [make_task(1)]))

    told = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in told] == [
        f"no worker has come up for {waited} s" for waited in (60, 120, 240, 480)
    ]


def test_nothing_is_told_of_workers_that_come_soon(caplog: pytest.LogCaptureFixture) -> None:
    workers = FakeWorkers()

    run_virtual(run_all(workers.dispatcher(2, 5), [make_task(1, expected_pages=900.0)]))

    assert caplog.records == []


def test_the_largest_channels_come_first() -> None:
    workers = FakeWorkers()
    tasks = [make_task(number, expected_pages=float(number)) for number in range(1, 7)]

    run_virtual(run_all(workers.dispatcher(1, 1), tasks))

    assert [channel for _, channel in workers.calls] == [6, 5, 4, 3, 2, 1]


def test_little_work_starts_few_workers() -> None:
    workers = FakeWorkers()

    run_virtual(run_all(workers.dispatcher(10, 5), [make_task(1), make_task(2)]))

    assert len(workers.spawned) == 1


def test_few_workers_start_side_by_side() -> None:
    workers, starts = FakeWorkers(), list[int]()
    tasks = [make_task(number, expected_pages=9.0) for number in range(30)]

    run_virtual(
        run_all(workers.dispatcher(6, 5), tasks, lambda: starts.append(len(workers.spawned)))
    )

    assert starts == [4]  # two came up in the first half second, two more are under way
    assert len(workers.spawned) == 6


def test_what_a_dead_worker_held_is_done_by_another() -> None:
    workers = FakeWorkers()
    tasks = [make_task(number, expected_pages=4.0) for number in range(20)]

    outcomes = run_virtual(
        run_all(workers.dispatcher(2, 5), tasks, lambda: workers.started[0].kill())
    )

    assert {outcome.channel_id for outcome in outcomes} == set(range(20))
    assert all(outcome.status is ChannelJobStatus.COMPLETED for outcome in outcomes)
    assert max(outcome.attempt for outcome in outcomes) == 2
    assert len(workers.spawned) == 3


def test_a_dead_workers_idle_slots_get_nothing_more() -> None:
    workers = FakeWorkers()
    tasks = [make_task(1, expected_pages=4.0), make_task(2, expected_pages=4.0)]

    outcomes = run_virtual(
        run_all(workers.dispatcher(1, 5), tasks, lambda: workers.started[0].kill())
    )

    assert [outcome.status for outcome in outcomes] == [ChannelJobStatus.COMPLETED] * 2
    assert [worker for worker, _ in workers.calls] == ["worker-0"] * 2 + ["worker-1"] * 2


def test_nothing_is_lost_when_all_workers_die() -> None:
    workers = FakeWorkers()
    tasks = [make_task(number, expected_pages=4.0) for number in range(20)]

    def kill_all() -> None:
        for worker in workers.started:
            worker.kill()

    outcomes = run_virtual(run_all(workers.dispatcher(2, 5), tasks, kill_all))

    assert {outcome.channel_id for outcome in outcomes} == set(range(20))
    assert all(outcome.failure is None for outcome in outcomes)


def test_a_channel_that_kills_its_workers_is_given_up() -> None:
    workers = FakeWorkers()
    workers.deadly_channels = {ChannelId(3)}
    tasks = [make_task(number) for number in range(6)]

    outcomes = run_virtual(run_all(workers.dispatcher(2, 1), tasks))

    poisoned = next(outcome for outcome in outcomes if outcome.channel_id == 3)
    assert poisoned.status is ChannelJobStatus.FAILED
    assert poisoned.attempt == FailurePolicy().deaths
    assert sum(1 for outcome in outcomes if outcome.failure is None) == 5


def test_what_a_worker_cannot_begin_is_that_channels_failure() -> None:
    workers = FakeWorkers()
    workers.refusals = {ChannelId(2): TokenUnavailableError("no token")}

    outcomes = run_virtual(run_all(workers.dispatcher(1, 2), [make_task(n) for n in range(4)]))

    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    assert [
        (outcome.channel_id, outcome.failure.message) for outcome in failed if outcome.failure
    ] == [(2, "no token")]


def test_a_worker_that_does_not_start_is_replaced() -> None:
    workers = FakeWorkers()
    workers.start_errors = [SyncError("the node went away")]

    outcomes = run_virtual(run_all(workers.dispatcher(1, 1), [make_task(1)]))

    assert outcomes[0].status is ChannelJobStatus.COMPLETED
    assert len(workers.spawned) == 2


@pytest.mark.parametrize(
    ("errors", "kind", "told"),
    [
        pytest.param(
            [SyncError("no")] * 3,
            WorkersUnavailableError,
            "No worker could be started: no",
            id="three-in-a-row",
        ),
        pytest.param(
            [TokenUnavailableError("no token")],
            TokenUnavailableError,
            "no token",
            id="the-users-mistake-at-once",
        ),
    ],
)
def test_workers_that_never_start_end_the_wait(
    errors: list[Exception], kind: type[Exception], told: str
) -> None:
    workers = FakeWorkers()
    workers.start_errors = errors

    with pytest.raises(kind, match=f"^{told}$"):
        run_virtual(run_all(workers.dispatcher(1, 1), [make_task(1), make_task(2)]))


def test_a_cancelled_channel_frees_its_slot() -> None:
    workers = FakeWorkers()

    async def scenario() -> ChannelOutcome:
        dispatcher = workers.dispatcher(1, 1)
        first = asyncio.create_task(dispatcher.run(make_task(1, expected_pages=1000.0)))
        await asyncio.sleep(1)
        first.cancel()
        return await dispatcher.run(make_task(2))

    assert run_virtual(scenario()).channel_id == 2


def test_close_ends_what_is_under_way() -> None:
    workers = FakeWorkers()

    async def scenario() -> None:
        dispatcher = workers.dispatcher(2, 2)
        running = [
            asyncio.create_task(dispatcher.run(make_task(n, expected_pages=99.0))) for n in range(8)
        ]
        await asyncio.sleep(1)
        for task in running:
            task.cancel()
        await dispatcher.close()

    run_virtual(scenario())

    assert workers.running == 0
    assert not any(worker.alive for worker in workers.spawned)


def test_a_sparing_pool_grows_only_where_workers_are_full() -> None:
    workers = FakeWorkers()
    tasks = [make_task(number, expected_pages=3.0) for number in range(30)]

    run_virtual(run_all(workers.dispatcher(4, 5, is_sparing=True), tasks))

    assert len(workers.spawned) == 1


def test_a_sparing_pool_grows_by_one_at_a_time_while_workers_are_full() -> None:
    workers, seen = FakeWorkers(), list[int]()
    workers.report_full = True
    tasks = [make_task(number, expected_pages=3.0) for number in range(60)]

    run_virtual(
        run_all(
            workers.dispatcher(3, 5, is_sparing=True),
            tasks,
            lambda: seen.append(len(workers.started)),
        )
    )

    assert seen == [1]
    assert len(workers.spawned) == 3


def test_a_sparing_pool_replaces_the_last_worker_that_died() -> None:
    workers = FakeWorkers()
    tasks = [make_task(number, expected_pages=4.0) for number in range(3)]
    dispatcher = workers.dispatcher(2, 5, is_sparing=True)

    outcomes = run_virtual(run_all(dispatcher, tasks, lambda: workers.started[0].kill()))

    assert all(outcome.status is ChannelJobStatus.COMPLETED for outcome in outcomes)
    assert len(workers.spawned) == 2


def test_channels_on_standby_are_claimed_but_no_more_than_the_slots_are_read() -> None:
    workers, given = FakeWorkers(), list[int]()
    tasks = [make_task(number, expected_pages=3.0) for number in range(30)]
    dispatcher = workers.dispatcher(2, 5)

    run_virtual(run_all(dispatcher, tasks, lambda: given.append(len(workers.calls))))

    assert given == [20]
    assert workers.most_running == 10
    assert dispatcher.most_at_once == 10


def test_a_channel_is_hurried_only_where_there_are_more_than_places() -> None:
    workers = FakeWorkers()
    tasks = [make_task(number, expected_pages=3.0 + number / 10) for number in range(25)]

    run_virtual(run_all(workers.dispatcher(1, 10), tasks))

    assert workers.are_hurried[0] is True
    assert workers.are_hurried[-1] is False


def test_channels_beside_others_that_lose_many_workers_are_not_given_up() -> None:
    workers = FakeWorkers()
    tasks = [make_task(number, expected_pages=6.0) for number in range(8)]

    async def scenario() -> list[ChannelOutcome]:
        dispatcher = workers.dispatcher(2, 4)
        running = [asyncio.create_task(dispatcher.run(task)) for task in tasks]
        for number in range(FailurePolicy().deaths - 1):
            while len(workers.started) <= number:
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.2)
            workers.started[number].kill()
        return list(await asyncio.gather(*running))

    outcomes = run_virtual(scenario())

    assert all(outcome.failure is None for outcome in outcomes)


def test_whatever_a_worker_raises_nobody_waits_for_ever() -> None:
    workers = FakeWorkers()
    workers.refusals = {ChannelId(2): ValueError("nobody thought of it")}

    outcomes = run_virtual(run_all(workers.dispatcher(1, 1), [make_task(n) for n in (1, 2, 3)]))

    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    assert [
        (outcome.channel_id, outcome.failure.error) for outcome in failed if outcome.failure
    ] == [(2, "ValueError")]
    assert len(outcomes) == 3


def test_nodes_that_were_taken_back_are_not_held_against_a_channel() -> None:
    workers = FakeWorkers()
    workers.lost_error = WorkerPreemptedError

    async def scenario() -> ChannelOutcome:
        dispatcher = workers.dispatcher(1, 1)
        running = asyncio.create_task(dispatcher.run(make_task(1, expected_pages=6.0)))
        for number in range(3 * FailurePolicy().deaths):
            while len(workers.started) <= number:
                await asyncio.sleep(0.1)
            workers.started[number].kill()
        return await running

    outcome = run_virtual(scenario())

    assert outcome.failure is None
    assert outcome.attempt == 3 * FailurePolicy().deaths + 1


def test_workers_that_are_lost_while_they_start_are_started_again() -> None:
    workers = FakeWorkers()
    workers.start_errors = [WorkerLostError("its node was dead already")] * 10

    outcomes = run_virtual(run_all(workers.dispatcher(1, 1), [make_task(1)]))

    assert outcomes[0].failure is None
    assert len(workers.spawned) == 11


def test_workers_that_do_not_start_beside_others_are_tried_again_later() -> None:
    workers = FakeWorkers()

    async def scenario() -> list[ChannelOutcome]:
        dispatcher = workers.dispatcher(2, 1)
        tasks = [make_task(number, expected_pages=5.0) for number in range(20)]
        dispatcher.warm_up()
        await asyncio.sleep(1.0)
        workers.start_errors = [SyncError("no room")] * 3
        return list(await asyncio.gather(*(dispatcher.run(task) for task in tasks)))

    outcomes = run_virtual(scenario())

    assert all(outcome.failure is None for outcome in outcomes)
    assert len(workers.started) == 2
    assert len(workers.spawned) == 5


def test_a_cluster_lets_workers_go_as_the_tail_drains() -> None:
    workers, left = FakeWorkers(), list[int]()
    tasks = [make_task(number, expected_pages=3.0) for number in range(60)]
    tasks += [make_task(100 + number, expected_pages=200.0) for number in range(2)]

    async def scenario() -> None:
        dispatcher = workers.dispatcher(6, 5)
        running = [asyncio.create_task(dispatcher.run(task)) for task in tasks]
        await asyncio.gather(*running[:60])
        for _ in range(8):  # now and then a channel comes and goes
            await asyncio.sleep(5.0)
            await dispatcher.run(make_task(1000, expected_pages=1.0))
        left.append(sum(worker.alive for worker in workers.spawned))
        await asyncio.gather(*running)
        await dispatcher.close()

    run_virtual(scenario())

    assert len(workers.spawned) == 6
    assert left[0] <= 2
    assert len({channel for _, channel in workers.calls}) == 63


def test_a_node_that_drains_is_left_with_the_last_visits() -> None:
    workers = FakeWorkers()

    async def scenario() -> list[ChannelOutcome]:
        dispatcher = workers.dispatcher(2, 4)
        tasks = [make_task(number, expected_pages=9.0) for number in range(12)]
        running = [asyncio.create_task(dispatcher.run(task)) for task in tasks]
        await asyncio.sleep(2.0)
        dispatcher.leave(["node-0"])  # which has room on standby left
        before = list(workers.calls)
        tasks = [make_task(100 + number, expected_pages=3.0) for number in range(8)]
        running += [asyncio.create_task(dispatcher.run(task)) for task in tasks]
        outcomes = list(await asyncio.gather(*running))
        assert "worker-0" not in {worker for worker, _ in workers.calls[len(before) :]}
        assert not workers.spawned[0].alive
        return outcomes

    outcomes = run_virtual(scenario())

    assert [outcome.attempt for outcome in outcomes] == [1] * 20, "no visit was cut short"
    assert len(workers.spawned) == 3


def test_its_figures_tell_who_works_who_is_missing_and_what_waits() -> None:
    workers = FakeWorkers()
    dispatcher = workers.dispatcher(2, 1)
    tasks = [make_task(number, expected_pages=3.0) for number in range(10)]

    def meanwhile() -> None:
        figures = dispatcher.figures()
        assert (figures.wanted, figures.starting, figures.running) == (2, 0, 2)
        assert figures.waiting == {tasks[0].job_id: 6}  # two are read, two on standby
        workers.started[0].kill()

    run_virtual(run_all(dispatcher, tasks, meanwhile))

    ended = dispatcher.figures()
    assert ended.lost == 1
    assert not any(ended.waiting.values())


def test_the_last_worker_may_die_while_no_other_is_started() -> None:
    workers = FakeWorkers()

    async def scenario() -> list[ChannelOutcome]:
        dispatcher = workers.dispatcher(2, 1)
        dispatcher.warm_up()
        await asyncio.sleep(1.0)
        workers.start_errors = [SyncError("no room")] * 3
        tasks = [make_task(number, expected_pages=60.0) for number in range(3)]
        running = [asyncio.create_task(dispatcher.run(task)) for task in tasks]
        await asyncio.sleep(5.0)
        workers.started[0].kill()
        return list(await asyncio.gather(*running))

    outcomes = run_virtual(scenario())

    assert all(outcome.failure is None for outcome in outcomes)
    assert len(workers.started) > 1


def test_workers_that_are_coming_up_are_waited_for_where_others_failed() -> None:
    workers = FakeWorkers()
    workers.start_errors = [SyncError("a bad node")] * 3
    tasks = [make_task(number, expected_pages=5.0) for number in range(20)]

    async def scenario() -> list[ChannelOutcome]:
        workers.slots = 1
        dispatcher = Dispatcher(
            workers.spawn, 1, workers.clock, ClusterScaling(10, 1), RunActors.new_slot_pool
        )
        return list(await asyncio.gather(*(dispatcher.run(task) for task in tasks)))

    outcomes = run_virtual(scenario())

    assert all(outcome.failure is None for outcome in outcomes)
    assert len(workers.spawned) >= 10


def test_what_one_worker_finds_missing_no_other_asks_for():
    workers = FakeWorkers()
    route = MissingRoute("GET /a/route", "who reacted", "404")
    workers.missing_routes = {ChannelId(1): (route,)}

    async def told() -> None:
        dispatcher = workers.dispatcher(1, 1)
        for number in (1, 2):
            await dispatcher.run(make_task(number))
        await dispatcher.run(replace(make_task(3), job_id=JobId("another")))
        await dispatcher.close()

    run_virtual(told())
    assert workers.known_missing == [(), (route,), ()]
