"""Model of a run's surroundings: Discord, a database, processes that take one call at a time.

Times are the event loop's, which `tests.virtual_time` makes jump. The model makes no decisions:
raysync's own code sends requests, waits and yields.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from raysync.models.entities import Message
from raysync.models.ids import ChannelId, MessageId, snowflake_at
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, ChannelTask, Claim, PageReceipt, PageWrite
from tests.unit.sync.fakes import make_message

PAGE = 3
"""Messages per page, one of which is read twice. The value does not affect the model."""
TAIL = 1.7
"""Exponent of the sizes: a share of k ** -TAIL has k pages or more, 2.0 on average."""
_CHANNEL_BITS = 22
_BEGAN = snowflake_at(datetime(2022, 6, 1, tzinfo=UTC))
_APART = (2 * 86_400_000 + 43_200_000) << _CHANNEL_BITS  # two and a half days between messages
_UPLINK_JITTER_S = 0.004


@dataclass(frozen=True, slots=True)
class Shape:
    """Parameters of a simulated run. Figures of single processes are from docs/benchmarks.md."""

    tenants: int
    channels: int  #: of each tenant
    workers: int
    at_once: int  #: tenants under way
    engine: bool = True  #: read by the real one; else by `scale_coarse`
    lists: bool = True  #: text channels, whose archived threads are listed; else voice channels
    slots: int = 5  #: requests of a worker at a time
    listings: int = 64  #: requests of the driver at a time
    most_pages: int = 200  #: of a channel
    latency_s: float = 0.1
    budget: float = 48.0
    statement_s: float = 0.004
    page_cpu_s: float = 0.0045  #: of a worker
    listing_cpu_s: float = 0.0015  #: of the driver
    call_s: float = 1 / 1600  #: between two actor calls that one process makes or takes
    seed: int = 1


def pages_of(shape: Shape) -> Sequence[int]:
    """Return the number of pages of each channel of all tenants: mostly one, rarely many."""
    dice = random.Random(shape.seed)
    count = shape.tenants * shape.channels
    return [min(int(dice.paretovariate(TAIL)), shape.most_pages) for _ in range(count)]


def channel_of(number: int) -> ChannelId:
    """Return a channel's id from its number among all tenants' channels."""
    return ChannelId(_BEGAN | number)


def number_of(channel_id: ChannelId) -> int:
    """Return the number of a channel from its id."""
    return channel_id & ((1 << _CHANNEL_BITS) - 1)


def message_of(place: int) -> MessageId:
    """Return a message's id from its position, which is the same in every channel."""
    return MessageId(_BEGAN + (place + 1) * _APART)


def place_of(message_id: int) -> int:
    """Return the position of a message from its id; for other ids, of the message below."""
    return (message_id - _BEGAN) // _APART - 1


class Process:
    """CPU core that does one thing at a time, and its total work."""

    def __init__(self) -> None:
        self.busy_s = 0.0
        self.calls = 0
        self._free_s = 0.0

    def delay_s(self, takes_s: float) -> float:
        """Return the seconds until work that arrives now and *takes_s* is done."""
        now_s = asyncio.get_running_loop().time()
        self._free_s = max(self._free_s, now_s) + takes_s
        self.busy_s += takes_s
        self.calls += 1
        return self._free_s - now_s


class Discord:
    """Discord as a counter of requests by token and by channel."""

    def __init__(self, shape: Shape) -> None:
        self.requests = 0
        self.most_in_a_second = 0  #: of any token
        self.refused = 0  #: pages that a channel's bucket would not have let through
        self.most_under_way = 0
        self._under_way = 0
        self._shape = shape
        self._dice = random.Random(shape.seed)
        self._arrived_s: dict[int, list[float]] = {}
        self._paged_s: dict[ChannelId, deque[float]] = {}

    async def ask(self, tenant: int, channel: ChannelId | None) -> None:
        """Simulate one request; *channel* is the channel of a page."""
        self.count(tenant, channel, asyncio.get_running_loop().time())
        self._under_way += 1
        self.most_under_way = max(self.most_under_way, self._under_way)
        await asyncio.sleep(self._shape.latency_s)
        self._under_way -= 1

    def count(self, tenant: int, channel: ChannelId | None, at_s: float) -> None:
        """Count a request that is sent at *at_s*."""
        self.requests += 1
        self._arrive(tenant, at_s + self._dice.random() * _UPLINK_JITTER_S)
        if channel is not None:
            self._page(channel, at_s)

    def forget(self, tenant: int) -> None:
        """Forget a tenant that sends no more requests."""
        self._arrived_s.pop(tenant, None)
        channels = range(tenant * self._shape.channels, (tenant + 1) * self._shape.channels)
        for number in channels:
            self._paged_s.pop(channel_of(number), None)

    def _arrive(self, tenant: int, at_s: float) -> None:
        times = self._arrived_s.setdefault(tenant, [])
        insort(times, at_s)
        del times[: bisect_left(times, at_s - 2.0)]
        latest_s = times[-1]
        self.most_in_a_second = max(
            self.most_in_a_second, len(times) - bisect_left(times, latest_s - 1.0)
        )

    def _page(self, channel: ChannelId, at_s: float) -> None:
        times = self._paged_s.setdefault(channel, deque(maxlen=5))
        self.refused += len(times) == 5 and at_s - times[0] < 5.0
        times.append(at_s)


@dataclass(slots=True)
class Archive:
    """Database that stores how far each channel is read, and how often to its end."""

    shape: Shape
    pages: Sequence[int]
    requests: bytearray = field(init=False)  #: pages asked of each channel, up to 255
    ended: bytearray = field(init=False)  #: how often each channel was read to its end
    messages: int = 0
    statements: int = 0
    most_in_use: int = 0
    _in_use: int = 0
    _read_to: dict[ChannelId, MessageId] = field(default_factory=dict)
    _checkpoints: dict[ChannelId, MessageId] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.requests = bytearray(len(self.pages))
        self.ended = bytearray(len(self.pages))

    def serve(self, channel_id: ChannelId, after: MessageId, limit: int) -> list[Message]:
        """Return the page of a channel above *after*."""
        number = number_of(channel_id)
        self.requests[number] = min(self.requests[number] + 1, 255)
        first = max(place_of(after), -1) + 1
        last = min(first + limit, self.pages[number] * (PAGE - 1))
        return [make_message(message_of(place), "") for place in range(first, last)]

    def count_page(self, channel_id: ChannelId) -> None:
        """Count a page whose messages do not matter."""
        number = number_of(channel_id)
        self.requests[number] = min(self.requests[number] + 1, 255)
        self.messages += PAGE - 1

    async def statement(self) -> None:
        """Simulate one round trip to the database."""
        self.statements += 1
        self._in_use += 1
        self.most_in_use = max(self.most_in_use, self._in_use)
        await asyncio.sleep(self.shape.statement_s)
        self._in_use -= 1

    async def claim(self, task: ChannelTask, worker_id: str) -> Claim:
        """See `PageStore`."""
        await self.statement()
        checkpoint = self._checkpoints.get(task.channel_id)
        return Claim(task, worker_id, 1, (), checkpoint, has_rows=False)

    async def save_page(self, claim: Claim, page: PageWrite) -> PageReceipt:
        """See `PageStore`."""
        await self.statement()
        channel_id = claim.task.channel_id
        known = self._read_to.get(channel_id, MessageId(0))
        highest = max((message.id for message in page.messages), default=known)
        new = sum(1 for message in page.messages if message.id > known)
        self.messages += new
        self._read_to[channel_id] = max(highest, known)
        if page.checkpoint is not None:
            self._checkpoints[channel_id] = page.checkpoint
        return PageReceipt(new, 0)

    async def renew(self, claim: Claim) -> None:
        """See `PageStore`."""
        await self.statement()

    async def release(self, claim: Claim, outcome: ChannelOutcome) -> None:
        """See `PageStore`."""
        await self.statement()
        channel_id = claim.task.channel_id
        if outcome.status is ChannelJobStatus.COMPLETED:
            number = number_of(channel_id)
            whole = message_of(self.pages[number] * (PAGE - 1) - 1)
            self.ended[number] += self._read_to.pop(channel_id) == whole
            self._checkpoints.pop(channel_id, None)
