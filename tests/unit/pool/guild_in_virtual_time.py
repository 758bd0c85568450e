"""A run without Ray, Discord or a database: real dispatcher, engine and limiters in virtual time.

Fakes: the network (a latency), the page store, and the messages, which are numbers.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from raysync.actors.cluster import RunActors
from raysync.models.entities import Message
from raysync.models.ids import ChannelId, JobId, MessageId
from raysync.models.permits import Demand, Lease, Sharer
from raysync.models.work import ChannelOutcome, ChannelTask
from raysync.pool.dispatch import Dispatcher
from raysync.pool.policies import ClusterScaling
from raysync.ratelimit.governor import Governor
from raysync.ratelimit.in_flight_limit import InFlightLimit
from raysync.ratelimit.limiter import WorkerLimiter
from raysync.ratelimit.permits import PermitPool
from raysync.sync.channels.channel import ChannelSync
from raysync.sync.channels.ports import ChannelPorts
from raysync.sync.retry import RetryPolicy
from tests.unit.sync.fakes import FakePages, make_message, make_task, snowflakes
from tests.virtual_time import LoopClock, run_virtual

PAGE = 11  # messages; one of them is read twice, so that each page brings ten
ROUTE = "GET /channels/{channel_id}/messages"


@dataclass
class SimulatedRun:
    """Requests of a simulated run, with their times."""

    request_times_s: list[float] = field(default_factory=list)
    outcomes: list[ChannelOutcome] = field(default_factory=list)

    @property
    def took_s(self) -> float:
        return self.request_times_s[-1] - self.request_times_s[0]

    def most_in_a_second(self) -> int:
        times = sorted(self.request_times_s)
        return max(bisect_right(times, at + 1.0) - number for number, at in enumerate(times))


@dataclass
class _Channels:
    """Messages of all channels, and the latency of the network."""

    ids: dict[ChannelId, list[int]]
    latency_s: float
    run: SimulatedRun


class _Source:
    """Discord, as one worker reaches it."""

    def __init__(self, channels: _Channels, limiter: WorkerLimiter) -> None:
        self._channels = channels
        self._limiter = limiter

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        passage = await self._limiter.enter(ROUTE, str(channel_id))
        passage.sent()
        self._channels.run.request_times_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._channels.latency_s)
        passage.finish(200, {})
        ids = self._channels.ids[channel_id]
        first = bisect_right(ids, after)
        return [make_message(id_, "") for id_ in ids[first : first + limit]]

    async def has_message(self, channel_id: ChannelId, message_id: MessageId) -> bool:
        return message_id in self._channels.ids[channel_id]

    async def is_reachable(self) -> bool:
        return True

    async def has_content_intent(self, *, anew: bool = False) -> bool:
        return True


class _Worker:
    def __init__(
        self,
        number: int,
        governor: Governor,
        channels: _Channels,
        budget: float,
        slots: int,
        start_s: float,
    ) -> None:
        self.worker_id = f"worker-{number}"
        clock = LoopClock()

        async def lease(demand: Demand) -> Lease:
            await asyncio.sleep(0.001)
            return governor.lease(
                "token", Sharer("run", self.worker_id), demand, budget, clock.monotonic_s()
            )

        limiter = WorkerLimiter(PermitPool(lease, clock, places=InFlightLimit(slots)), clock)
        self._limiter = limiter
        self._source = _Source(channels, limiter)
        self._clock = clock
        self._start_s = start_s

    async def start(self) -> None:
        await asyncio.sleep(self._start_s)

    async def sync_channel(self, task: ChannelTask) -> ChannelOutcome:
        pages = FakePages(checkpoint=task.done.last_message_id)
        ports = ChannelPorts(
            self._source,
            lambda channel_id: self._limiter.bucket(ROUTE, str(channel_id)),
            pages,
            RetryPolicy(),
            self._clock,
            self.worker_id,
            page_size=PAGE,
        )
        return await ChannelSync(ports).run(task, lambda _: None)

    async def close_job(self, job_id: JobId) -> None:
        return

    async def close(self) -> None:
        return

    def kill(self) -> None:
        return


def simulate(
    pages: Sequence[int],
    *,
    workers: int = 10,
    slots: int = 5,
    latency_s: float = 0.02,
    budget: float = 48.0,
    known: bool = True,
    start_s: float = 0.1,
    starting_at_once: int = 10,
) -> SimulatedRun:
    """Read channels with the given numbers of *pages*; *known*: the tasks have these numbers.

    A worker takes *start_s* to start, and *starting_at_once* workers start at the same time.
    """
    ids = {ChannelId(n): snowflakes(count * (PAGE - 1)) for n, count in enumerate(pages)}
    run = SimulatedRun()

    async def scenario() -> None:
        clock = LoopClock()
        governor = Governor(clock.monotonic_s() - 10)
        channels = _Channels(ids, latency_s, run)
        dispatcher = Dispatcher(
            lambda number: _Worker(number, governor, channels, budget, slots, start_s),
            slots,
            clock,
            ClusterScaling(workers, slots, starting_at_once),
            RunActors.new_slot_pool,
        )
        tasks = [
            make_task(
                channel,
                last_message_id=own[-1],
                expected_pages=len(own) / (PAGE - 1) if known else 2.0,  # far too low
                is_guess=not known,
            )
            for channel, own in ids.items()
        ]
        run.outcomes = list(await asyncio.gather(*(dispatcher.run(task) for task in tasks)))
        await dispatcher.close()

    run_virtual(scenario())
    return run


def bound_s(pages: Sequence[int], budget: float = 48.0) -> float:
    """Return a lower bound: the token's budget, or the largest channel's bucket (5 per 5 s)."""
    by_bucket = (max(pages) - 1) // 5 * 5.0
    return max((sum(pages) - 1) / budget, by_bucket)
