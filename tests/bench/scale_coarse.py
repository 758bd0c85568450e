"""Workers and lists for runs that are too large to simulate every step of the engine.

They replace the engine, the limiters and the reporters. A visit reads as much as
`raysync.sync.channels.reading` does: one page if the channel's size is unknown, else what its
bucket holds.
Permits come from the real governor, with one request for all pages of a visit; each page is one
wait.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING

from raysync.models.events import ApiUsage, ChannelProgress, WorkerReport
from raysync.models.ids import ChannelId, JobId, MessageId
from raysync.models.permits import Demand, Sharer, Use
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, ChannelTally, ChannelTask, Parked
from raysync.ratelimit.budget import JITTER_S
from raysync.ratelimit.policies import PAGES
from tests.bench.scale_model import PAGE, Process, message_of, number_of

if TYPE_CHECKING:
    from tests.bench.scale_run import World

_BUCKET, _WINDOW_S, _MARGIN_S = 5, 5.0, 0.1
_MOST_ASKED = 8


class CoarsePermits:
    """Permits of one token in one process, which set the time of each request."""

    def __init__(
        self, world: World, tenant: int, worker_id: str, places: asyncio.Semaphore
    ) -> None:
        self._world = world
        self._tenant = tenant
        self._sharer = Sharer("run", worker_id)
        self._places = places
        self._line = asyncio.Lock()
        self._wanted = 0
        self._starts_s: deque[float] = deque()
        self._uses: list[Use] = []
        self.first_s = math.inf
        self.last_s = 0.0
        self.asked = 0

    async def request(
        self, channel: ChannelId | None, more: int, cpu: Process, cpu_s: float, before_s: float
    ) -> None:
        """Send one request as soon as there is a permit, and wait for its response.

        *more* requests will follow; this one goes out *before_s* seconds from now at the earliest.
        """
        world, clock = self._world, self._world.clock
        async with self._places:
            self._wanted += more
            async with self._line:
                while not self._held(clock.monotonic_s()):
                    await self._ask()
            self._wanted -= more
            start_s = self._starts_s.popleft()
            now_s = clock.monotonic_s()
            sent_s = max(start_s, now_s + before_s)
            self._uses.append(Use(start_s, sent_s))
            self.first_s, self.last_s = min(self.first_s, sent_s), sent_s
            self.asked += 1
            world.discord.count(self._tenant, channel, sent_s)
            latency_s = world.shape.latency_s
            await asyncio.sleep(sent_s - now_s + latency_s + cpu.delay_s(cpu_s))

    def _held(self, now_s: float) -> bool:
        while self._starts_s and self._starts_s[0] + 0.3 <= now_s:
            self._uses.append(Use(self._starts_s.popleft(), None))
        return bool(self._starts_s)

    async def _ask(self) -> None:
        world = self._world
        demand, self._uses = Demand(min(self._wanted, _MOST_ASKED), tuple(self._uses)), []
        pause_s = world.governor.delay_s(world.shape.call_s)
        now_s = world.clock.monotonic_s()
        with world.cpu.of("governor_s"):
            lease = world.permits.lease(
                str(self._tenant), self._sharer, demand, world.shape.budget, now_s
            )
        self._starts_s.extend(now_s + each for each in lease.starts)
        if not lease.starts:
            await asyncio.sleep(max(pause_s, lease.ask_again_s, JITTER_S))

    def usage(self) -> ApiUsage:
        """Return the requests and their times."""
        if not self.asked:
            return ApiUsage()
        at = self._world.clock.at
        return ApiUsage(
            {PAGES: self.asked}, first_request_at=at(self.first_s), last_request_at=at(self.last_s)
        )


class CoarseWorker:
    """Worker as the dispatcher sees it."""

    def __init__(self, number: int, world: World) -> None:
        self.worker_id = f"worker-{number}"
        self._world = world
        self._process = Process()
        world.worker_processes.append(self._process)
        self._places = asyncio.Semaphore(world.shape.slots)
        self._permits: dict[JobId, CoarsePermits] = {}
        self._sequence = 0

    async def start(self) -> None:
        await asyncio.sleep(2.0)

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        world, shape = self._world, self._world.shape
        permits = self._permits.get(task.job_id)
        if permits is None:
            tenant = int(task.job_id)
            permits = CoarsePermits(world, tenant, self.worker_id, self._places)
            self._permits[task.job_id] = permits
            world.note_sessions(1)
        before_s = world.driver.delay_s(shape.call_s) + shape.statement_s
        started_at = task.started_at or world.clock.now()
        whole, done = world.archive.pages[number_of(task.channel_id)], task.done.pages
        fresh = [each for each in task.paged_ago_s if each < _WINDOW_S + _MARGIN_S]
        room = 1 if task.is_guess and not done and task.is_hurried else _BUCKET - len(fresh)
        pages = max(min(room, whole - done), 0)
        paged_s = [world.clock.monotonic_s() - each for each in fresh]
        for left in range(pages, 0, -1):
            await permits.request(task.channel_id, left, self._process, shape.page_cpu_s, before_s)
            before_s = 0.0
            paged_s.append(world.clock.monotonic_s())
            world.archive.count_page(task.channel_id)
        world.archive.statements += 2 + pages  # claim, pages, release
        await asyncio.sleep(2 * shape.statement_s)
        return self._outcome(task, started_at, done + pages, whole, paged_s, permits)

    def _outcome(
        self,
        task: ChannelTask,
        started_at: datetime,
        done: int,
        whole: int,
        paged_s: list[float],
        permits: CoarsePermits,
    ) -> ChannelOutcome:
        world, now_s = self._world, self._world.clock.monotonic_s()
        is_end = done == whole
        messages = done * (PAGE - 1)
        tally = ChannelTally(
            requests=done,
            pages=done,
            messages=messages,
            added=messages,
            first_message_id=message_of(0),
            last_message_id=MessageId(message_of(messages - 1)) if messages else None,
        )
        parked = None
        ages_s = tuple(now_s - each for each in sorted(paged_s)[-_BUCKET:])
        if not is_end:
            oldest_s = ages_s[0] if len(ages_s) == _BUCKET else math.inf
            ready_s = max(_WINDOW_S + _MARGIN_S - oldest_s, 0.0)
            parked = Parked(ready_s, float(whole - done), ages_s)
        else:
            world.archive.ended[number_of(task.channel_id)] += 1
            self._sequence += 1
            progress = ChannelProgress(
                task.channel_id, task.attempt, self.worker_id, started_at, tally, 1.0
            )
            world.fold(
                WorkerReport(
                    task.job_id, self.worker_id, self._sequence, (progress,), permits.usage()
                )
            )
        return ChannelOutcome(
            task.channel_id,
            ChannelJobStatus.COMPLETED if is_end else ChannelJobStatus.PENDING,
            self.worker_id,
            task.attempt,
            started_at,
            world.clock.now(),
            tally,
            0,
            parked=parked,
            is_worker_full=True,
        )

    async def close_job(self, job_id: JobId) -> None:
        if self._permits.pop(job_id, None) is not None:
            self._world.note_sessions(-1)

    async def close(self) -> None:
        for job_id in list(self._permits):
            await self.close_job(job_id)

    def kill(self) -> None:
        return
