"""Fakes of the engine's ports, and factories of values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from raysync.errors import AccessDeniedError, ClaimLostError
from raysync.models.entities import Message
from raysync.models.ids import (
    MAX_SNOWFLAKE,
    ChannelId,
    ChannelKey,
    JobId,
    MessageId,
    TenantId,
    moment_of,
)
from raysync.models.status import SyncType
from raysync.models.work import (
    ChannelOutcome,
    ChannelTask,
    Claim,
    IdRange,
    PageReceipt,
    PageWrite,
)
from raysync.sync.channels.channel import ChannelSync
from raysync.sync.channels.ports import ChannelPorts
from raysync.sync.retry import RetryPolicy
from raysync.sync.window import union
from tests.virtual_time import LoopClock

WHOLE = IdRange(0, MAX_SNOWFLAKE)


def make_message(message_id: int, content: str = "hello") -> Message:
    return Message(
        id=MessageId(message_id),
        type=0,
        content=content,
        author_ref="u_someone",
        reply_to_id=None,
        created_at=moment_of(message_id),
        edited_at=None,
        metadata=b"{}",
        raw=b"{}",
    )


def make_task(channel_id: int = 1, **changes: object) -> ChannelTask:
    task = ChannelTask(
        job_id=JobId("job"),
        tenant_id=TenantId(1),
        channel_key=ChannelKey(channel_id),
        channel_id=ChannelId(channel_id),
        name=f"channel-{channel_id}",
        sync_type=SyncType.INCREMENTAL,
        window=WHOLE,
        last_message_id=None,
        lookback_start=MAX_SNOWFLAKE,
        expected_pages=1.0,
    )
    return replace(task, **changes)  # type: ignore[arg-type]


@dataclass
class FakeBucket:
    """A channel's bucket with *pauses* to come, which records what it is told."""

    pauses: list[float] = field(default_factory=list)
    restored: list[tuple[float, ...]] = field(default_factory=list)
    exhausted: list[float] = field(default_factory=list)
    head_start_s: float = 0.0

    def pause_s(self) -> float:
        return self.pauses.pop(0) if self.pauses else 0.0

    def return_s(self, requests: float) -> float:
        return 4.5

    def ages_s(self) -> tuple[float, ...]:
        return (0.5,)

    def restore(self, ages_s: Iterable[float]) -> None:
        self.restored.append(tuple(ages_s))

    def assume_exhausted(self, ago_s: float) -> None:
        self.exhausted.append(ago_s)


@dataclass
class FakeHistory:
    """History of a channel, served as Discord does; errors to raise come first."""

    messages: dict[int, Message] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    takes_s: float = 0.0
    looked_for: list[int] = field(default_factory=list)
    denied: bool = False  # the permission to read the history is gone: pages come empty
    content_intent: bool = True
    intent_is_cached: bool = False  # that it is on was said less than a minute ago
    reachable: bool = True  # what a look at Discord finds
    cut: list[int] = field(default_factory=list)  # how much of each page arrives
    bucket: FakeBucket = field(default_factory=FakeBucket)

    def post(self, *ids: int) -> None:
        self.messages.update({each: make_message(each) for each in ids})

    async def has_message(self, channel_id: ChannelId, message_id: MessageId) -> bool:
        self.looked_for.append(message_id)
        if self.denied:
            raise AccessDeniedError("403")
        return message_id in self.messages

    async def is_reachable(self) -> bool:
        return self.reachable

    async def has_content_intent(self, *, anew: bool = False) -> bool:
        return self.content_intent or (self.intent_is_cached and not anew)

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        self.asked.append(after)
        if self.takes_s:
            await asyncio.sleep(self.takes_s)
        if self.errors:
            raise self.errors.pop(0)
        if self.denied:
            return []
        above = sorted(each for each in self.messages if each > after)[:limit]
        if self.cut:
            above = above[: self.cut.pop(0)]
        return [self.messages[each] for each in reversed(above)]


@dataclass
class FakePages:
    """Page store in memory, with exclusive claims."""

    rows: dict[int, Message] = field(default_factory=dict)
    coverage: tuple[IdRange, ...] = ()
    checkpoint: MessageId | None = None
    errors: list[Exception] = field(default_factory=list)
    holder: str | None = None
    epoch: int = 0
    pages: int = 0
    released: list[ChannelOutcome] = field(default_factory=list)
    paged_ago_s: float | None = None
    deleted: set[int] = field(default_factory=set)

    async def claim(self, task: ChannelTask, worker_id: str) -> Claim | None:
        if self.holder is not None:
            return None
        self.holder = worker_id
        self.epoch += 1
        return Claim(task, worker_id, self.epoch, self.coverage, self.checkpoint, self.paged_ago_s)

    async def save_page(self, claim: Claim, page: PageWrite) -> PageReceipt:
        if self.errors:
            raise self.errors.pop(0)
        if claim.epoch != self.epoch:
            raise ClaimLostError("another worker took over")
        inserted = sum(1 for each in page.messages if each.id not in self.rows)
        served = {message.id for message in page.messages}
        gone = [
            each for each in self.rows if page.gone and each in page.gone and each not in served
        ]
        self.deleted.update(gone)
        self.deleted -= served
        self.rows.update({each.id: each for each in page.messages})
        if page.covered is not None:
            self.coverage = union([*self.coverage, page.covered])
        self.checkpoint = page.checkpoint
        self.pages += 1
        return PageReceipt(inserted, 0, deleted=len(gone))

    async def renew(self, claim: Claim) -> None:
        if claim.epoch != self.epoch:
            raise ClaimLostError("another worker took over")

    async def release(self, claim: Claim, outcome: ChannelOutcome) -> None:
        self.released.append(outcome)
        self.holder = None


def channel_sync(history: FakeHistory, pages: FakePages, page_size: int) -> ChannelSync:
    """Return an engine that reads from *history* into *pages* in virtual time."""
    ports = ChannelPorts(
        history,
        lambda _: history.bucket,
        pages,
        RetryPolicy(),
        LoopClock(),
        "worker-0",
        page_size,
    )
    return ChannelSync(ports)


def snowflakes(count: int, start: datetime = datetime(2025, 1, 1, tzinfo=UTC)) -> list[int]:
    """Return *count* ids, a minute apart."""
    first = int((start.timestamp() * 1000) - 1_420_070_400_000) << 22
    return [first + (minute * 60_000 << 22) for minute in range(count)]


def ids_of(rows: Mapping[int, Message]) -> list[int]:
    return sorted(rows)
