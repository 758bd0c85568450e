"""Who read which channel when, laid out in lanes: what a picture of the timeline draws.

A worker reads several channels side by side, so it has a lane for each of them. What is too short
to be seen is drawn together with its neighbours; how much that was, and what was left out, is
told. However many channels there are, what is drawn is bounded.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from raysync.models.history import ChannelHistory
from raysync.models.ids import ChannelId
from raysync.models.work import VisitSpan

MOST_WORKERS = 60
MOST_LANES = 12
"""Of one worker. It is given ten channels at a time by default; spans of many visits overlap."""
MOST_BLOCKS = 1_500
SHORTEST_SHARE = 1 / 600
"""Of the whole time: shorter ones are drawn together, if they are neighbours."""


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of one lane; in seconds since the job began."""

    from_s: float
    until_s: float
    channels: frozenset[ChannelId]  #: several: they are too short to be drawn one by one
    visits: int
    read_s: float  #: of its length, in visits


@dataclass(frozen=True, slots=True)
class WorkerLanes:
    """A worker, and what it read side by side."""

    worker_id: str
    lanes: tuple[tuple[Block, ...], ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """All of it, and what it does not show."""

    length_s: float
    workers: tuple[WorkerLanes, ...]
    alone: frozenset[ChannelId]  #: channels with a block of their own
    together: frozenset[ChannelId]  #: drawn only in blocks of several
    not_drawn: int  #: channels that were read, and found no room
    not_read: int  #: channels of which no visit is known
    workers_left_out: int
    is_exact: bool  #: False: a version without visits; drawn from first to last


@dataclass(slots=True)
class _Lane:
    """Blocks in the order of time that do not overlap."""

    starts: list[float] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def has_room(self, block: Block) -> bool:
        at = bisect_left(self.starts, block.from_s)
        before = self.blocks[at - 1] if at else None
        after = self.blocks[at] if at < len(self.blocks) else None
        return (before is None or before.until_s <= block.from_s) and (
            after is None or block.until_s <= after.from_s
        )

    def put(self, block: Block) -> None:
        at = bisect_left(self.starts, block.from_s)
        self.starts.insert(at, block.from_s)
        self.blocks.insert(at, block)


def timeline(
    channels: Sequence[ChannelHistory], began_s: float, length_s: float
) -> Timeline | None:
    """The timeline of a job that began at *began_s*, in Unix seconds; None: nothing was read."""
    by_worker: dict[str, list[tuple[int, Block]]] = defaultdict(list)
    for each in channels:
        for span in _spans(each, began_s + length_s):
            block = _block(each.channel_id, span, began_s, length_s)
            by_worker[span.worker_id].append((each.messages, block))
    if not by_worker or length_s <= 0:
        return None
    busiest = sorted(by_worker, key=lambda each: -len(by_worker[each]))[:MOST_WORKERS]
    workers = {each: _pack(by_worker[each]) for each in sorted(busiest, key=natural)}
    drawn = _bounded(workers, length_s)
    alone = _channels(block for block in _blocks(drawn) if len(block.channels) == 1)
    together = _channels(_blocks(drawn)) - alone
    read = {block.channels for blocks in by_worker.values() for _, block in blocks}
    return Timeline(
        length_s=length_s,
        workers=tuple(WorkerLanes(name, lanes) for name, lanes in drawn.items()),
        alone=alone,
        together=together,
        not_drawn=len(read) - len(alone) - len(together),
        not_read=len(channels) - len(read),
        workers_left_out=len(by_worker) - len(workers),
        is_exact=all(each.visits is not None for each in channels),
    )


def _spans(channel: ChannelHistory, until_s: float) -> tuple[VisitSpan, ...]:
    """Its visits; of a version that did not tell them, all of its time as if it were one."""
    if channel.visits is not None:
        return channel.visits
    if channel.started_at is None or channel.worker_id is None:
        return ()
    from_s = channel.started_at.timestamp()
    ended_s = channel.completed_at.timestamp() if channel.completed_at else until_s
    return (VisitSpan(channel.worker_id, from_s, ended_s, 1, ended_s - from_s),)


def _block(channel: ChannelId, span: VisitSpan, began_s: float, length_s: float) -> Block:
    """The span within the picture: clocks of several machines may differ by a little."""
    from_s = min(max(span.began_s - began_s, 0.0), length_s)
    until_s = min(max(span.ended_s - began_s, from_s), length_s)
    return Block(from_s, until_s, frozenset({channel}), span.count, span.read_s)


def _pack(blocks: Sequence[tuple[int, Block]]) -> tuple[tuple[Block, ...], ...]:
    """The blocks in as few lanes as they need; beyond the most, those of large channels."""
    by_time = [block for _, block in sorted(blocks, key=lambda each: each[1].from_s)]
    lanes, left = _first_fit(by_time)
    if left:
        by_size = [block for _, block in sorted(blocks, key=lambda each: -each[0])]
        lanes, left = _first_fit(by_size)
    return tuple(tuple(each.blocks) for each in lanes)


def _first_fit(blocks: Iterable[Block]) -> tuple[list[_Lane], int]:
    """Lanes, and how many blocks found room in none."""
    lanes: list[_Lane] = []
    left = 0
    for block in blocks:
        lane = next((each for each in lanes if each.has_room(block)), None)
        if lane is None:
            if len(lanes) == MOST_LANES:
                left += 1
                continue
            lanes.append(lane := _Lane())
        lane.put(block)
    return lanes, left


def _bounded(
    workers: dict[str, tuple[tuple[Block, ...], ...]], length_s: float
) -> dict[str, tuple[tuple[Block, ...], ...]]:
    """What is short drawn together, coarser and coarser until it is few enough."""
    shortest_s = SHORTEST_SHARE * length_s
    while True:
        drawn = {
            name: tuple(_merged(lane, shortest_s) for lane in lanes)
            for name, lanes in workers.items()
        }
        if sum(1 for _ in _blocks(drawn)) <= MOST_BLOCKS:
            return drawn
        shortest_s *= 1.5


def _merged(lane: Sequence[Block], shortest_s: float) -> tuple[Block, ...]:
    """Neighbours that are short, or of one channel, as one where little lies between them."""
    merged: list[Block] = []
    for block in lane:
        before = merged[-1] if merged else None
        if before is not None and block.from_s - before.until_s < shortest_s:
            is_same = before.channels == block.channels
            is_short = block.until_s - block.from_s < shortest_s
            was_short = len(before.channels) > 1 or before.until_s - before.from_s < shortest_s
            if is_same or (is_short and was_short):
                merged[-1] = _together(before, block)
                continue
        merged.append(block)
    return tuple(merged)


def _together(one: Block, other: Block) -> Block:
    return Block(
        one.from_s,
        max(one.until_s, other.until_s),
        one.channels | other.channels,
        one.visits + other.visits,
        one.read_s + other.read_s,
    )


def _blocks(workers: dict[str, tuple[tuple[Block, ...], ...]]) -> Iterable[Block]:
    return (block for lanes in workers.values() for lane in lanes for block in lane)


def _channels(blocks: Iterable[Block]) -> frozenset[ChannelId]:
    return frozenset(channel for block in blocks for channel in block.channels)


def natural(worker_id: str) -> tuple[str, int, str]:
    """What to sort workers by, so that worker-2 comes before worker-10."""
    number = re.search(r"\d+$", worker_id)
    stem = worker_id[: number.start()] if number else worker_id
    return stem, int(number[0]) if number else 0, worker_id
