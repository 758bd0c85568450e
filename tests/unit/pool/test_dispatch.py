"""Dispatcher, with workers in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from raysync.actors.cluster import RunActors
from raysync.errors import (
    SyncError,
    TokenUnavailableError,
    WorkerLostError,
    WorkerPreemptedError,
    WorkersUnavailableError,
)
from raysync.models.ids import ChannelId, JobId
from raysync.models.not_covered import MissingRoute
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, ChannelTally, ChannelTask
from raysync.pool.dispatch import Dispatcher
from raysync.pool.policies import (
    ClusterScaling,
    FailurePolicy,
    LocalScaling,
)
from tests.unit.sync.fakes import make_task
from tests.virtual_time import LoopClock, run_virtual


class FakeWorker:
    """Worker that takes one second for each expected page."""

    def __init__(self, number: int, cluster: FakeCluster) -> None:
        self.worker_id = f"worker-{number}"
        self.node_id = f"node-{number}"
        self.cluster = cluster
        self.alive = True
        self.dying = asyncio.Event()
        self.places = asyncio.Semaphore(cluster.slots)

    async def start(self) -> None:
        await asyncio.sleep(self.cluster.start_s)
        if self.cluster.start_errors:
            raise self.cluster.start_errors.pop(0)
        self.cluster.up.append(self)

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        self.cluster.begun.append((self.worker_id, task.channel_id))
        self.cluster.hurried.append(task.is_hurried)
        self.cluster.received_missing.append(task.missing_routes)
        async with self.places:
            return await self._read(task)

    async def _read(self, task: ChannelTask) -> ChannelOutcome:
        if task.channel_id in self.cluster.refusals:
            raise self.cluster.refusals[task.channel_id]
        self.cluster.now += 1
        self.cluster.most = max(self.cluster.most, self.cluster.now)
        started_at = self.cluster.clock.now()
        try:
            working = asyncio.create_task(asyncio.sleep(task.expected_pages))
            dying = asyncio.create_task(self.dying.wait())
            await asyncio.wait({working, dying}, return_when=asyncio.FIRST_COMPLETED)
            dead = dying.done()
            working.cancel()
            dying.cancel()
            if dead or task.channel_id in self.cluster.poison:
                self.dying.set()
                raise self.cluster.lost("killed")
        finally:
            self.cluster.now -= 1
        return ChannelOutcome(
            task.channel_id,
            ChannelJobStatus.COMPLETED,
            self.worker_id,
            task.attempt,
            started_at,
            self.cluster.clock.now(),
            ChannelTally(not_covered=self.cluster.missing.get(task.channel_id, ())),
            0,
            is_worker_full=self.cluster.is_full,
        )

    async def close_job(self, job_id: JobId) -> None:
        return

    async def close(self) -> None:
        self.alive = False

    def kill(self) -> None:
        self.alive = False
        self.dying.set()


class FakeCluster:
    """Fake workers, with the faults that a test injects and what they have received."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.up: list[FakeWorker] = []
        self.spawned: list[FakeWorker] = []
        self.begun: list[tuple[str, ChannelId]] = []
        self.start_errors: list[Exception] = []
        self.poison: set[ChannelId] = set()
        self.refusals: dict[ChannelId, Exception] = {}
        self.hurried: list[bool] = []
        self.missing: dict[ChannelId, tuple[MissingRoute, ...]] = {}
        self.received_missing: list[tuple[MissingRoute, ...]] = []
        self.lost: type[WorkerLostError] = WorkerLostError
        self.slots = 1
        self.start_s = 0.5
        self.is_full = False
        self.now = self.most = 0

    def spawn(self, number: int) -> FakeWorker:
        self.spawned.append(FakeWorker(number, self))
        return self.spawned[-1]

    def dispatcher(
        self, size: int, slots: int, *, is_local: bool = False, in_flight: float = 0.0
    ) -> Dispatcher:
        self.slots = slots
        local = LocalScaling(size, slots, lambda: in_flight)
        scaling = local if is_local else ClusterScaling(size, slots, 2)
        return Dispatcher(self.spawn, slots, self.clock, scaling, RunActors.new_slot_pool)


async def run_all(
    dispatcher: Dispatcher, tasks: list[ChannelTask], meanwhile: Callable[[], None] | None = None
) -> list[ChannelOutcome]:
    running = [asyncio.create_task(dispatcher.run(each)) for each in tasks]
    if meanwhile is not None:
        await asyncio.sleep(1.0)
        meanwhile()
    return list(await asyncio.gather(*running))


def test_all_slots_are_filled_and_no_more() -> None:
    cluster = FakeCluster()
    tasks = [make_task(number, expected_pages=3.0) for number in range(30)]

    outcomes = run_virtual(run_all(cluster.dispatcher(2, 5), tasks))

    assert len(outcomes) == 30
    assert cluster.most == 10
    assert len(cluster.spawned) == 2


def test_warnings_of_a_missing_worker_become_rarer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeCluster()
    cluster.start_s = 500.0

    run_virtual(run_all(cluster.dispatcher(2, 5), [make_task(1)]))

    messages = [record.getMessage() for record in caplog.records]
    assert [message.split(":")[0] for message in messages] == [
        f"no worker has come up for {waited} s" for waited in (60, 120, 240, 480)
    ]


def test_workers_that_start_soon_cause_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster()

    run_virtual(run_all(cluster.dispatcher(2, 5), [make_task(1, expected_pages=900.0)]))

    assert caplog.records == []


def test_the_largest_channels_come_first() -> None:
    cluster = FakeCluster()
    tasks = [make_task(number, expected_pages=float(number)) for number in range(1, 7)]

    run_virtual(run_all(cluster.dispatcher(1, 1), tasks))

    assert [channel for _, channel in cluster.begun] == [6, 5, 4, 3, 2, 1]


def test_little_work_starts_few_workers() -> None:
    cluster = FakeCluster()

    run_virtual(run_all(cluster.dispatcher(10, 5), [make_task(1), make_task(2)]))

    assert len(cluster.spawned) == 1


def test_few_workers_start_at_the_same_time() -> None:
    cluster, starts = FakeCluster(), list[int]()
    tasks = [make_task(number, expected_pages=9.0) for number in range(30)]

    run_virtual(
        run_all(cluster.dispatcher(6, 5), tasks, lambda: starts.append(len(cluster.spawned)))
    )

    assert starts == [4]  # two came up in the first half second, two more are under way
    assert len(cluster.spawned) == 6


def test_channels_of_a_dead_worker_are_read_by_another() -> None:
    cluster = FakeCluster()
    tasks = [make_task(number, expected_pages=4.0) for number in range(20)]

    outcomes = run_virtual(run_all(cluster.dispatcher(2, 5), tasks, lambda: cluster.up[0].kill()))

    assert {each.channel_id for each in outcomes} == set(range(20))
    assert all(each.status is ChannelJobStatus.COMPLETED for each in outcomes)
    assert max(each.attempt for each in outcomes) == 2
    assert len(cluster.spawned) == 3


def test_idle_slots_of_a_dead_worker_receive_no_channel() -> None:
    cluster = FakeCluster()
    tasks = [make_task(1, expected_pages=4.0), make_task(2, expected_pages=4.0)]

    outcomes = run_virtual(run_all(cluster.dispatcher(1, 5), tasks, lambda: cluster.up[0].kill()))

    assert [each.status for each in outcomes] == [ChannelJobStatus.COMPLETED] * 2
    assert [worker for worker, _ in cluster.begun] == ["worker-0"] * 2 + ["worker-1"] * 2


def test_nothing_is_lost_when_all_workers_die() -> None:
    cluster = FakeCluster()
    tasks = [make_task(number, expected_pages=4.0) for number in range(20)]

    def kill_all() -> None:
        for worker in cluster.up:
            worker.kill()

    outcomes = run_virtual(run_all(cluster.dispatcher(2, 5), tasks, kill_all))

    assert {each.channel_id for each in outcomes} == set(range(20))
    assert all(each.failure is None for each in outcomes)


def test_a_channel_that_kills_its_workers_is_given_up() -> None:
    cluster = FakeCluster()
    cluster.poison = {ChannelId(3)}
    tasks = [make_task(number) for number in range(6)]

    outcomes = run_virtual(run_all(cluster.dispatcher(2, 1), tasks))

    poisoned = next(each for each in outcomes if each.channel_id == 3)
    assert poisoned.status is ChannelJobStatus.FAILED
    assert poisoned.attempt == FailurePolicy().deaths
    assert sum(1 for each in outcomes if each.failure is None) == 5


def test_a_channel_that_a_worker_cannot_begin_fails_alone() -> None:
    cluster = FakeCluster()
    cluster.refusals = {ChannelId(2): TokenUnavailableError("no token")}

    outcomes = run_virtual(run_all(cluster.dispatcher(1, 2), [make_task(n) for n in range(4)]))

    failed = [each for each in outcomes if each.failure is not None]
    assert [(each.channel_id, each.failure.message) for each in failed if each.failure] == [
        (2, "no token")
    ]


def test_a_worker_that_does_not_start_is_replaced() -> None:
    cluster = FakeCluster()
    cluster.start_errors = [SyncError("the node went away")]

    outcomes = run_virtual(run_all(cluster.dispatcher(1, 1), [make_task(1)]))

    assert outcomes[0].status is ChannelJobStatus.COMPLETED
    assert len(cluster.spawned) == 2


@pytest.mark.parametrize(
    ("errors", "kind", "message"),
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
def test_workers_that_never_start_fail_all_channels(
    errors: list[Exception], kind: type[Exception], message: str
) -> None:
    cluster = FakeCluster()
    cluster.start_errors = errors

    with pytest.raises(kind, match=f"^{message}$"):
        run_virtual(run_all(cluster.dispatcher(1, 1), [make_task(1), make_task(2)]))


def test_a_cancelled_channel_frees_its_slot() -> None:
    cluster = FakeCluster()

    async def scenario() -> ChannelOutcome:
        dispatcher = cluster.dispatcher(1, 1)
        first = asyncio.create_task(dispatcher.run(make_task(1, expected_pages=1000.0)))
        await asyncio.sleep(1)
        first.cancel()
        return await dispatcher.run(make_task(2))

    assert run_virtual(scenario()).channel_id == 2


def test_close_ends_channels_in_flight() -> None:
    cluster = FakeCluster()

    async def scenario() -> None:
        dispatcher = cluster.dispatcher(2, 2)
        running = [
            asyncio.create_task(dispatcher.run(make_task(n, expected_pages=99.0))) for n in range(8)
        ]
        await asyncio.sleep(1)
        for each in running:
            each.cancel()
        await dispatcher.close()

    run_virtual(scenario())

    assert cluster.now == 0
    assert not any(worker.alive for worker in cluster.spawned)


def test_a_local_pool_grows_only_when_workers_are_saturated() -> None:
    cluster = FakeCluster()
    tasks = [make_task(number, expected_pages=3.0) for number in range(30)]

    run_virtual(run_all(cluster.dispatcher(4, 5, is_local=True), tasks))

    assert len(cluster.spawned) == 1


@pytest.mark.parametrize(
    ("channels", "in_flight", "size", "workers"),
    [
        pytest.param(60, 48 * 0.3, 10, 3, id="as-the-latency-asks"),
        pytest.param(60, 48 * 0.3, 2, 2, id="no-more-than-the-settings-allow"),
        pytest.param(7, 48 * 0.3, 10, 2, id="no-more-than-there-is-to-read"),
        pytest.param(60, 48 * 0.005, 10, 1, id="one-where-answers-are-quick"),
        pytest.param(60, 0.0, 10, 1, id="one-before-any-answer"),
    ],
)
def test_a_local_pool_starts_at_once_what_the_latency_asks_for(
    channels: int, in_flight: float, size: int, workers: int
) -> None:
    cluster = FakeCluster()
    dispatcher = cluster.dispatcher(size, 5, is_local=True, in_flight=in_flight)
    spawned = []
    tasks = [make_task(number, expected_pages=3.0) for number in range(channels)]

    async def scenario() -> None:
        dispatcher.warm_up(1)
        running = asyncio.gather(*(dispatcher.run(task) for task in tasks))
        await asyncio.sleep(cluster.start_s / 2)
        spawned.append(len(cluster.spawned))
        await running

    run_virtual(scenario())

    assert spawned == [workers], "before the first of them is up"
    assert len(cluster.spawned) == workers


def test_a_local_pool_starts_one_worker_at_a_time() -> None:
    cluster, seen = FakeCluster(), list[int]()
    cluster.is_full = True
    tasks = [make_task(number, expected_pages=3.0) for number in range(60)]

    run_virtual(
        run_all(
            cluster.dispatcher(3, 5, is_local=True), tasks, lambda: seen.append(len(cluster.up))
        )
    )

    assert seen == [1]
    assert len(cluster.spawned) == 3


def test_a_local_pool_replaces_its_last_worker() -> None:
    cluster = FakeCluster()
    tasks = [make_task(number, expected_pages=4.0) for number in range(3)]
    dispatcher = cluster.dispatcher(2, 5, is_local=True)

    outcomes = run_virtual(run_all(dispatcher, tasks, lambda: cluster.up[0].kill()))

    assert all(each.status is ChannelJobStatus.COMPLETED for each in outcomes)
    assert len(cluster.spawned) == 2


def test_channels_on_standby_are_claimed_but_not_read() -> None:
    cluster, given = FakeCluster(), list[int]()
    tasks = [make_task(number, expected_pages=3.0) for number in range(30)]
    dispatcher = cluster.dispatcher(2, 5)

    run_virtual(run_all(dispatcher, tasks, lambda: given.append(len(cluster.begun))))

    assert given == [20]
    assert cluster.most == 10
    assert dispatcher.most_at_once == 10


def test_a_channel_is_hurried_only_under_contention() -> None:
    cluster = FakeCluster()
    tasks = [make_task(number, expected_pages=3.0 + number / 10) for number in range(25)]

    run_virtual(run_all(cluster.dispatcher(1, 10), tasks))

    assert cluster.hurried[0] is True
    assert cluster.hurried[-1] is False


def test_deaths_of_several_workers_are_not_held_against_a_channel() -> None:
    cluster = FakeCluster()
    tasks = [make_task(number, expected_pages=6.0) for number in range(8)]

    async def scenario() -> list[ChannelOutcome]:
        dispatcher = cluster.dispatcher(2, 4)
        running = [asyncio.create_task(dispatcher.run(each)) for each in tasks]
        for number in range(FailurePolicy().deaths - 1):
            while len(cluster.up) <= number:
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.2)
            cluster.up[number].kill()
        return list(await asyncio.gather(*running))

    outcomes = run_virtual(scenario())

    assert all(each.failure is None for each in outcomes)


def test_an_unexpected_error_fails_its_channel() -> None:
    cluster = FakeCluster()
    cluster.refusals = {ChannelId(2): ValueError("nobody thought of it")}

    outcomes = run_virtual(run_all(cluster.dispatcher(1, 1), [make_task(n) for n in (1, 2, 3)]))

    failed = [each for each in outcomes if each.failure is not None]
    assert [(each.channel_id, each.failure.error) for each in failed if each.failure] == [
        (2, "ValueError")
    ]
    assert len(outcomes) == 3


def test_preempted_nodes_are_not_held_against_a_channel() -> None:
    cluster = FakeCluster()
    cluster.lost = WorkerPreemptedError

    async def scenario() -> ChannelOutcome:
        dispatcher = cluster.dispatcher(1, 1)
        running = asyncio.create_task(dispatcher.run(make_task(1, expected_pages=6.0)))
        for number in range(3 * FailurePolicy().deaths):
            while len(cluster.up) <= number:
                await asyncio.sleep(0.1)
            cluster.up[number].kill()
        return await running

    outcome = run_virtual(scenario())

    assert outcome.failure is None
    assert outcome.attempt == 3 * FailurePolicy().deaths + 1


def test_workers_lost_during_their_start_are_replaced() -> None:
    cluster = FakeCluster()
    cluster.start_errors = [WorkerLostError("its node was dead already")] * 10

    outcomes = run_virtual(run_all(cluster.dispatcher(1, 1), [make_task(1)]))

    assert outcomes[0].failure is None
    assert len(cluster.spawned) == 11


def test_failed_starts_are_retried_after_a_pause() -> None:
    cluster = FakeCluster()

    async def scenario() -> list[ChannelOutcome]:
        dispatcher = cluster.dispatcher(2, 1)
        tasks = [make_task(number, expected_pages=5.0) for number in range(20)]
        dispatcher.warm_up(1)
        await asyncio.sleep(1.0)
        cluster.start_errors = [SyncError("no room")] * 3
        return list(await asyncio.gather(*(dispatcher.run(each) for each in tasks)))

    outcomes = run_virtual(scenario())

    assert all(each.failure is None for each in outcomes)
    assert len(cluster.up) == 2
    assert len(cluster.spawned) == 5


def test_a_cluster_releases_workers_at_the_end_of_a_run() -> None:
    cluster, left = FakeCluster(), list[int]()
    tasks = [make_task(number, expected_pages=3.0) for number in range(60)]
    tasks += [make_task(100 + number, expected_pages=200.0) for number in range(2)]

    async def scenario() -> None:
        dispatcher = cluster.dispatcher(6, 5)
        running = [asyncio.create_task(dispatcher.run(each)) for each in tasks]
        await asyncio.gather(*running[:60])
        for _ in range(8):  # now and then a channel comes and goes
            await asyncio.sleep(5.0)
            await dispatcher.run(make_task(1000, expected_pages=1.0))
        left.append(sum(worker.alive for worker in cluster.spawned))
        await asyncio.gather(*running)
        await dispatcher.close()

    run_virtual(scenario())

    assert len(cluster.spawned) == 6
    assert left[0] <= 2
    assert len({channel for _, channel in cluster.begun}) == 63


def test_a_draining_node_finishes_its_visits() -> None:
    cluster = FakeCluster()

    async def scenario() -> list[ChannelOutcome]:
        dispatcher = cluster.dispatcher(2, 4)
        tasks = [make_task(number, expected_pages=9.0) for number in range(12)]
        running = [asyncio.create_task(dispatcher.run(each)) for each in tasks]
        await asyncio.sleep(2.0)
        dispatcher.leave(["node-0"])  # which has room on standby left
        before = list(cluster.begun)
        tasks = [make_task(100 + number, expected_pages=3.0) for number in range(8)]
        running += [asyncio.create_task(dispatcher.run(each)) for each in tasks]
        outcomes = list(await asyncio.gather(*running))
        assert "worker-0" not in {worker for worker, _ in cluster.begun[len(before) :]}
        assert not cluster.spawned[0].alive
        return outcomes

    outcomes = run_virtual(scenario())

    assert [each.attempt for each in outcomes] == [1] * 20, "no visit was cut short"
    assert len(cluster.spawned) == 3


def test_figures_count_workers_losses_and_waiting_channels() -> None:
    cluster = FakeCluster()
    dispatcher = cluster.dispatcher(2, 1)
    tasks = [make_task(number, expected_pages=3.0) for number in range(10)]

    def meanwhile() -> None:
        figures = dispatcher.figures()
        assert (figures.wanted, figures.starting, figures.running) == (2, 0, 2)
        assert figures.waiting == {tasks[0].job_id: 6}  # two are read, two on standby
        cluster.up[0].kill()

    run_virtual(run_all(dispatcher, tasks, meanwhile))

    ended = dispatcher.figures()
    assert ended.lost == 1
    assert not any(ended.waiting.values())


def test_the_last_worker_may_die_during_a_pause_of_starts() -> None:
    cluster = FakeCluster()

    async def scenario() -> list[ChannelOutcome]:
        dispatcher = cluster.dispatcher(2, 1)
        dispatcher.warm_up(1)
        await asyncio.sleep(1.0)
        cluster.start_errors = [SyncError("no room")] * 3
        tasks = [make_task(number, expected_pages=60.0) for number in range(3)]
        running = [asyncio.create_task(dispatcher.run(each)) for each in tasks]
        await asyncio.sleep(5.0)
        cluster.up[0].kill()
        return list(await asyncio.gather(*running))

    outcomes = run_virtual(scenario())

    assert all(each.failure is None for each in outcomes)
    assert len(cluster.up) > 1


def test_failed_starts_do_not_break_a_pool_with_other_starts() -> None:
    cluster = FakeCluster()
    cluster.start_errors = [SyncError("a bad node")] * 3
    tasks = [make_task(number, expected_pages=5.0) for number in range(20)]

    async def scenario() -> list[ChannelOutcome]:
        cluster.slots = 1
        dispatcher = Dispatcher(
            cluster.spawn, 1, cluster.clock, ClusterScaling(10, 1), RunActors.new_slot_pool
        )
        return list(await asyncio.gather(*(dispatcher.run(each) for each in tasks)))

    outcomes = run_virtual(scenario())

    assert all(each.failure is None for each in outcomes)
    assert len(cluster.spawned) >= 10


def test_a_route_that_one_worker_finds_missing_is_known_to_all():
    cluster = FakeCluster()
    route = MissingRoute("GET /a/route", "who reacted", "404")
    cluster.missing = {ChannelId(1): (route,)}

    async def scenario() -> None:
        dispatcher = cluster.dispatcher(1, 1)
        for number in (1, 2):
            await dispatcher.run(make_task(number))
        await dispatcher.run(replace(make_task(3), job_id=JobId("another")))
        await dispatcher.close()

    run_virtual(scenario())
    assert cluster.received_missing == [(), (route,), ()]
