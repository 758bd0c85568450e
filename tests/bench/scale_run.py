"""Run of thousands of tenants in virtual time, with raysync's own classes.

Real: the dispatcher, the jobs and their planning, the channel engine, the governor, permits,
in-flight limits and buckets, the tracker's boards and their heartbeat, the reports and the summary.
Simulated: Ray (a call is a delay), Discord and the database (`scale_model`). The wiring of
`raysync.run.driver` is repeated here in the same order.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from raysync.actors.cluster import RunActors
from raysync.models import channel_types
from raysync.models.entities import (
    BotIdentity,
    BotMember,
    Channel,
    Guild,
    Message,
    Role,
)
from raysync.models.events import ApiUsage, ChannelRow, JobHeader, JobView, WorkerReport
from raysync.models.ids import ChannelId, ChannelKey, GuildId, JobId, MessageId, TenantId, UserId
from raysync.models.permits import Demand, Lease, Sharer
from raysync.models.results import SyncJobResult
from raysync.models.samples import JobSample
from raysync.models.status import SyncType
from raysync.models.work import (
    ArchiveKey,
    ArchiveRecord,
    ChannelOutcome,
    ChannelTask,
    DeadLetterNote,
    KnownChannel,
    Skipped,
    StoredChannel,
    SyncWindow,
)
from raysync.pool.dispatch import Dispatcher
from raysync.pool.policies import ClusterScaling
from raysync.ratelimit.governor import Governor
from raysync.ratelimit.in_flight_limit import InFlightLimit
from raysync.ratelimit.limiter import WorkerLimiter
from raysync.ratelimit.permits import PermitPool
from raysync.ratelimit.policies import PAGES
from raysync.run.requests import OWN_CONNECTIONS
from raysync.run.views import VIEW_PERIOD_S, VIEWS_PER_S
from raysync.sync.channels.channel import ChannelSync
from raysync.sync.channels.ports import ChannelPorts
from raysync.sync.job.inputs import JobPorts, JobScope
from raysync.sync.job.job import SyncJob
from raysync.sync.planning.permissions import Permission
from raysync.sync.planning.planner import GuildPlanner
from raysync.sync.results.summary import summarize
from raysync.sync.retry import Retrier, RetryPolicy
from raysync.worker.reporting import JobReporter
from raysync.worker.tracked_jobs import TrackedJobs
from tests.bench.scale_coarse import CoarsePermits, CoarseWorker
from tests.bench.scale_model import (
    PAGE,
    Archive,
    Discord,
    Process,
    Shape,
    channel_of,
    message_of,
    pages_of,
)
from tests.unit.sync.sinks import FakeSink
from tests.virtual_time import LoopClock, run_virtual

_EVERYONE = Permission.VIEW_CHANNEL | Permission.READ_MESSAGE_HISTORY | Permission.CONNECT
_START_S = 2.0
_POLICY = RetryPolicy()


@dataclass
class Cpu:
    """CPU seconds of this machine that the real classes took."""

    governor_s: float = 0.0
    tracker_s: float = 0.0
    dispatcher_s: float = 0.0
    all_s: float = 0.0

    @contextmanager
    def of(self, whose: str) -> Any:
        began_s = time.process_time()
        try:
            yield
        finally:
            setattr(self, whose, getattr(self, whose) + time.process_time() - began_s)


class TimedDispatcher(Dispatcher):
    """Dispatcher that measures the CPU of its steps."""

    cpu: Cpu

    def _turn(self) -> None:
        with self.cpu.of("dispatcher_s"):
            super()._turn()


@dataclass
class World:
    """State that the processes of one run share."""

    shape: Shape
    cpu: Cpu = field(default_factory=Cpu)
    clock: LoopClock = field(default_factory=LoopClock)
    driver: Process = field(default_factory=Process)
    governor: Process = field(default_factory=Process)
    tracker: Process = field(default_factory=Process)
    worker_processes: list[Process] = field(default_factory=list)
    rows: int = 0  #: of channels, that the tracker wrote
    sessions: int = 0
    most_sessions: int = 0  #: clients in all processes at the same time

    def __post_init__(self) -> None:
        self.archive = Archive(self.shape, pages_of(self.shape))
        self.discord = Discord(self.shape)
        self.permits = Governor(-10.0)
        self.tracked = TrackedJobs(self, FakeSink())

    async def save_progress(
        self,
        view: JobView,
        rows: Sequence[ChannelRow],
        usage: Mapping[str, ApiUsage],
        sample: JobSample | None = None,
    ) -> None:
        """Store the tracker's rows: see `JobRecord`."""
        self.rows += len(rows)
        await self.archive.statement()

    def limiter(
        self, tenant: int, worker_id: str, places: InFlightLimit
    ) -> tuple[WorkerLimiter, PermitPool]:
        """Return one process's limiter of a token."""

        async def lease(demand: Demand) -> Lease:
            await asyncio.sleep(self.governor.delay_s(self.shape.call_s))
            with self.cpu.of("governor_s"):
                return self.permits.lease(
                    str(tenant),
                    Sharer("run", worker_id),
                    demand,
                    self.shape.budget,
                    self.clock.monotonic_s(),
                )

        pool = PermitPool(lease, self.clock, places=places)
        self.note_sessions(1)
        return WorkerLimiter(pool, self.clock), pool

    def note_sessions(self, more: int) -> None:
        """Count *more* open clients."""
        self.sessions += more
        self.most_sessions = max(self.most_sessions, self.sessions)

    async def report(self, report: WorkerReport) -> None:
        """Call the tracker."""
        await asyncio.sleep(self.tracker.delay_s(self.shape.call_s))
        self.fold(report)

    def fold(self, report: WorkerReport) -> None:
        """Fold a report into the tracker's state."""
        with self.cpu.of("tracker_s"):
            self.tracked.report(report)


class Source:
    """Requests of one session to Discord."""

    def __init__(self, world: World, tenant: int, limiter: WorkerLimiter, process: Process) -> None:
        self._world = world
        self._tenant = tenant
        self.limiter = limiter
        self._process = process

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        world = self._world
        passage = await self.limiter.enter(PAGES, str(channel_id))
        passage.sent()
        await world.discord.ask(self._tenant, channel_id)
        passage.finish(200, {})
        await asyncio.sleep(self._process.delay_s(world.shape.page_cpu_s))
        return world.archive.serve(channel_id, after, limit)

    async def ask(self, route: str, major_id: int) -> None:
        """Send a request other than for a page."""
        passage = await self.limiter.enter(route, str(major_id))
        passage.sent()
        await self._world.discord.ask(self._tenant, None)
        passage.finish(200, {})
        await asyncio.sleep(self._process.delay_s(self._world.shape.listing_cpu_s))

    async def has_message(self, channel_id: ChannelId, message_id: MessageId) -> bool:
        raise AssertionError("no page falls short")

    async def is_reachable(self) -> bool:
        return True

    async def has_content_intent(self, *, anew: bool = False) -> bool:
        return True


@dataclass
class Session:
    """Job in one worker."""

    engine: ChannelSync
    reporter: JobReporter
    pool: PermitPool


class Worker:
    """Worker as the dispatcher sees it, with sessions like a real worker's."""

    def __init__(self, number: int, world: World) -> None:
        self.worker_id = f"worker-{number}"
        self.node_id = None
        self._world = world
        self._process = Process()
        world.worker_processes.append(self._process)
        self._places = InFlightLimit(world.shape.slots)
        self._connections = asyncio.Semaphore(world.shape.slots)
        self._sessions: dict[JobId, Session] = {}

    async def start(self) -> None:
        await asyncio.sleep(_START_S)

    def _session(self, job_id: JobId) -> Session:
        session = self._sessions.get(job_id)
        if session is None:
            world = self._world
            limiter, pool = world.limiter(int(job_id), self.worker_id, self._places)
            ports = ChannelPorts(
                Source(world, int(job_id), limiter, self._process),
                lambda channel_id: limiter.bucket(PAGES, str(channel_id)),
                world.archive,
                _POLICY,
                world.clock,
                self.worker_id,
                page_size=PAGE,
            )
            reporter = JobReporter(job_id, self.worker_id, world.report, limiter.usage)
            session = self._sessions[job_id] = Session(ChannelSync(ports), reporter, pool)
        return session

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        await asyncio.sleep(self._world.driver.delay_s(self._world.shape.call_s))
        session = self._session(task.job_id)
        outcome = await session.engine.run(task, session.reporter.note)
        if outcome.parked is None:
            await session.reporter.flush()
        return replace(outcome, is_worker_full=True)

    async def close_job(self, job_id: JobId) -> None:
        session = self._sessions.pop(job_id, None)
        if session is not None:
            await session.reporter.close()
            await session.pool.close()
            self._world.note_sessions(-1)

    async def close(self) -> None:
        for job_id in list(self._sessions):
            await self.close_job(job_id)

    def kill(self) -> None:
        return


class TenantGuild(Source):
    """Lists of one tenant's guild: text channels without threads."""

    def __init__(self, world: World, tenant: int, limiter: WorkerLimiter) -> None:
        super().__init__(world, tenant, limiter, world.driver)
        self._guild_id = GuildId(tenant + 1)

    async def identify(self) -> BotIdentity:
        return BotIdentity(UserId(7), True)

    async def fetch_guild(self, guild_id: GuildId) -> Guild:
        await self.ask("GET /guilds/{guild_id}", guild_id)
        return Guild(guild_id, "g", UserId(1), (Role(guild_id, _EVERYONE),))

    async def fetch_member(self, guild_id: GuildId, user_id: UserId) -> BotMember:
        await self.ask("GET /guilds/{guild_id}/members/{user_id}", guild_id)
        return BotMember(user_id, frozenset())

    async def list_channels(self, guild_id: GuildId) -> Sequence[Channel]:
        await self.ask("GET /guilds/{guild_id}/channels", guild_id)
        world = self._world
        first = self._tenant * world.shape.channels
        return [
            Channel(
                channel_of(number),
                guild_id,
                channel_types.TEXT if world.shape.lists else channel_types.VOICE,
                f"c{number}",
                None,
                message_of(world.archive.pages[number] * (PAGE - 1) - 1),
            )
            for number in range(first, first + world.shape.channels)
        ]

    async def list_active_threads(self, guild_id: GuildId) -> Sequence[Channel]:
        await self.ask("GET /guilds/{guild_id}/threads/active", guild_id)
        return []

    async def list_archived_threads(
        self, parent: Channel, *, private: bool, joined_only: bool = False
    ) -> AsyncIterator[Channel]:
        kind = "private" if private else "public"
        await self.ask(f"GET /channels/{{channel_id}}/threads/archived/{kind}", parent.id)
        return
        yield  # type: ignore[unreachable]  # an asynchronous generator of nothing

    def search_archived_threads(self, parent: Channel) -> AsyncIterator[Channel]:
        raise AssertionError("no channel is of announcements")

    async def has_channel(self, channel_id: ChannelId) -> bool:
        return True


class CoarseGuild(TenantGuild):
    """The same lists without a limiter: requests wait only for permits."""

    def __init__(self, world: World, tenant: int, permits: CoarsePermits) -> None:
        self._permits = permits
        self._world = world
        self._tenant = tenant

    async def ask(self, route: str, major_id: int) -> None:
        world = self._world
        await self._permits.request(None, 1, world.driver, world.shape.listing_cpu_s, 0.0)


class Catalog:
    """Tenant without stored channels."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def record(self, channels: Sequence[Channel]) -> Mapping[ChannelId, StoredChannel]:
        await self._archive.statement()
        return {
            channel.id: StoredChannel(ChannelKey(channel.id), channel.id, (), 0)
            for channel in channels
        }

    async def letters(self) -> Mapping[ChannelId, DeadLetterNote]:
        await self._archive.statement()
        return {}

    async def listings(self) -> Mapping[ArchiveKey, ArchiveRecord]:
        await self._archive.statement()
        return {}

    async def known(self) -> Sequence[KnownChannel]:
        await self._archive.statement()
        return []

    async def mark_deleted(self, channels: Collection[ChannelId]) -> None:
        raise AssertionError("nothing is gone")

    async def note_listings(self, listings: Mapping[ArchiveKey, ArchiveRecord]) -> None:
        await self._archive.statement()

    async def note_rechecks(
        self, done: Mapping[ChannelKey, int | None], began_at: datetime
    ) -> None:
        await self._archive.statement()

    async def plan_rechecks(
        self, requests: int, before: int, readable: Collection[ChannelId]
    ) -> Sequence[Any]:
        return []

    async def plan_sample(self, pages: int, readable: Collection[ChannelId]) -> Sequence[Any]:
        return []

    async def plan_leftovers(self, extras: Any, window: Any) -> Sequence[Any]:
        return []


class Sink:
    """Remote tracker of one job."""

    def __init__(self, world: World, header: JobHeader) -> None:
        self._world = world
        self._job_id = header.job_id
        world.tracked.open(header)
        self._board = world.tracked.board(header.job_id)

    async def _call(self, fold: Callable[[], Any]) -> Any:
        await asyncio.sleep(self._world.driver.delay_s(self._world.shape.call_s))
        await asyncio.sleep(self._world.tracker.delay_s(self._world.shape.call_s))
        with self._world.cpu.of("tracker_s"):
            return fold()

    async def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        await self._call(lambda: self._board.plan(tasks, skipped))

    async def planned(self) -> None:
        await self._call(self._board.planned)

    async def report(self, report: WorkerReport) -> None:
        await self._world.report(report)

    async def settle(self, outcome: ChannelOutcome) -> None:
        await self._call(lambda: self._board.settle(outcome))

    async def usage(self) -> Mapping[str, ApiUsage]:
        return await self._call(self._board.usage)  # type: ignore[no-any-return]

    async def view(self, busiest: int) -> JobView:
        return await self._call(lambda: self._board.view(busiest))  # type: ignore[no-any-return]

    async def close(self) -> None:
        await self._world.tracked.close(self._job_id)


@dataclass
class ScaleRun:
    """Result of a simulated run."""

    shape: Shape
    world: World
    results: list[SyncJobResult]
    took_s: float  #: virtual, from the start to the last tenant's end
    most_tenants: int
    most_waiting: int  #: channels that lay in the dispatcher
    most_channels: int  #: read at the same moment
    peak_mb: float  #: of the whole simulation's process

    @property
    def requests(self) -> int:
        return self.world.discord.requests

    @property
    def _listings(self) -> int:
        """Number of requests per tenant other than for pages."""
        return 2 * self.shape.channels + 5 if self.shape.lists else 4

    @property
    def longest_tenant_s(self) -> float:
        """Minimum duration of the slowest tenant: by its token and its largest channel."""
        shape, pages, longest_s = self.shape, self.world.archive.pages, 0.0
        for first in range(0, len(pages), shape.channels):
            own = pages[first : first + shape.channels]
            by_token = (sum(own) + self._listings - 1) / shape.budget
            longest_s = max(longest_s, by_token, (max(own) - 1) // 5 * 5.0)
        return longest_s

    @property
    def work_s(self) -> float:
        """Minimum time that requests occupy the slots of workers and driver."""
        shape = self.shape
        pages_s = sum(self.world.archive.pages) * shape.latency_s / (shape.workers * shape.slots)
        listing_s = max(shape.latency_s / shape.listings, shape.listing_cpu_s)
        return max(pages_s, shape.tenants * self._listings * listing_s)

    @property
    def bound_s(self) -> float:
        """Lower bound of the duration for any order of work."""
        return max(self.longest_tenant_s, self.work_s)

    @property
    def connections(self) -> int:
        """Number of connections to the database."""
        return self.shape.workers * self.shape.slots + OWN_CONNECTIONS


async def _simulate(shape: Shape, on_end: Callable[[ScaleRun], None] | None) -> ScaleRun:
    began_cpu_s = time.process_time()
    world = World(shape)
    dispatcher = TimedDispatcher(
        lambda number: (Worker if shape.engine else CoarseWorker)(number, world),
        shape.slots,
        world.clock,
        ClusterScaling(shape.workers, shape.slots),
        RunActors.new_slot_pool,
    )
    dispatcher.cpu = world.cpu
    turns = asyncio.Semaphore(shape.at_once)
    places = InFlightLimit(shape.listings) if shape.engine else asyncio.Semaphore(shape.listings)
    sinks: dict[int, Sink] = {}
    run = ScaleRun(shape, world, [], 0.0, 0, 0, 0, 0.0)

    async def show() -> None:
        while True:
            await asyncio.sleep(max(VIEW_PERIOD_S, len(sinks) / VIEWS_PER_S))
            run.most_waiting = max(run.most_waiting, len(dispatcher._waiting))
            for each in list(sinks.values()):
                await each.view(30)

    async def sync_tenant(number: int) -> None:
        async with turns:
            job_id = JobId(str(number))
            header = JobHeader(job_id, f"t{number}", SyncType.FULL, world.clock.now(), shape.budget)
            sink = sinks[number] = Sink(world, header)
            run.most_tenants = max(run.most_tenants, len(sinks))
            guild, usage, close = _planning(world, number, places)
            reporter = JobReporter(job_id, "driver", world.report, usage)
            window = SyncWindow(SyncType.FULL)
            job = SyncJob(
                JobScope.of(header, TenantId(number), window, world.clock.now()),
                JobPorts(
                    planner=GuildPlanner(guild, GuildId(number + 1)),
                    catalog=Catalog(world.archive),
                    dispatcher=dispatcher,
                    sink=sink,
                    clock=world.clock,
                    retry=Retrier(_POLICY, world.clock),
                ),
            )
            end = await job.run()
            await reporter.flush()
            run.results.append(
                summarize(
                    header,
                    end,
                    await sink.usage(),
                    {},
                    dispatcher.most_at_once,
                    world.clock.now(),
                )
            )
            await sink.close()
            del sinks[number]
            await reporter.close()
            await close()
            world.note_sessions(-1)
            await dispatcher.close_job(job_id)
            world.discord.forget(number)
            if on_end is not None:
                on_end(run)

    showing = asyncio.create_task(show())
    async with asyncio.TaskGroup() as tenants:
        for number in range(shape.tenants):
            tenants.create_task(sync_tenant(number))
    run.took_s = world.clock.monotonic_s()
    showing.cancel()
    await dispatcher.close()
    world.tracked._flushing.cancel()  # type: ignore[union-attr]
    run.most_channels = dispatcher.most_at_once
    run.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    world.cpu.all_s = time.process_time() - began_cpu_s
    return run


def _planning(
    world: World, tenant: int, places: InFlightLimit | asyncio.Semaphore
) -> tuple[TenantGuild, Callable[[], ApiUsage], Callable[[], Awaitable[None]]]:
    """Open the driver's client of one tenant; return its usage and how to close it."""
    if isinstance(places, InFlightLimit):
        limiter, pool = world.limiter(tenant, "driver", places)
        return TenantGuild(world, tenant, limiter), limiter.usage, pool.close
    world.note_sessions(1)
    permits = CoarsePermits(world, tenant, "driver", places)

    async def close() -> None:
        return

    return CoarseGuild(world, tenant, permits), permits.usage, close


def simulate(shape: Shape, on_end: Callable[[ScaleRun], None] | None = None) -> ScaleRun:
    """Run all tenants of *shape*, which start with an empty archive, to their end.

    *on_end* is called as each tenant has ended.
    """
    return run_virtual(_simulate(shape, on_end))
