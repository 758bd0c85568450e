"""Layout of the timeline: which worker read which channel when.

A worker reads several channels in parallel, so it has several lanes. Visits too short to see are
merged with their neighbours. The timeline counts what it merges and omits. The number of blocks is
bounded, however many channels there are.
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
"""Maximum number of workers in the timeline."""
MOST_LANES = 12
"""Maximum number of lanes per worker.

A worker has ten slots by default, and spans of many visits overlap.
"""
MOST_BLOCKS = 1_500
"""Maximum number of blocks in the timeline."""
SHORTEST_SHARE = 1 / 600
"""Minimum duration of a block as a share of the job's; shorter neighbours are merged."""


@dataclass(frozen=True, slots=True)
class Block:
    """Part of a lane; times in seconds since the job started."""

    from_s: float
    until_s: float
    channels: frozenset[ChannelId]  #: several if each is too short to draw
    visits: int
    read_s: float  #: time within visits


@dataclass(frozen=True, slots=True)
class WorkerLanes:
    """Worker, and the channels that it read in parallel."""

    worker_id: str
    lanes: tuple[tuple[Block, ...], ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Timeline of all workers, and the number of channels that it omits."""

    length_s: float
    workers: tuple[WorkerLanes, ...]
    alone: frozenset[ChannelId]  #: channels with a block of their own
    together: frozenset[ChannelId]  #: channels drawn only in merged blocks
    not_drawn: int  #: channels that were read, without room in a lane
    not_read: int  #: channels without a known visit
    workers_left_out: int
    is_exact: bool  #: False: no visits stored, so drawn from first to last request


@dataclass(slots=True)
class _Lane:
    """Blocks in chronological order, without overlaps."""

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
    """Lay out the timeline of a job; None if no channel was read.

    *began_s* is the job's start in Unix seconds, *length_s* its duration.
    """
    by_worker: dict[str, list[tuple[int, Block]]] = defaultdict(list)
    for channel in channels:
        for span in _spans(channel, began_s + length_s):
            block = _block(channel.channel_id, span, began_s, length_s)
            by_worker[span.worker_id].append((channel.messages, block))
    if not by_worker or length_s <= 0:
        return None
    busiest = sorted(by_worker, key=lambda worker: -len(by_worker[worker]))[:MOST_WORKERS]
    workers = {worker: _pack(by_worker[worker]) for worker in sorted(busiest, key=natural)}
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
        is_exact=all(channel.visits is not None for channel in channels),
    )


def _spans(channel: ChannelHistory, until_s: float) -> tuple[VisitSpan, ...]:
    """Return a channel's visits, or its whole time as one visit if none are stored."""
    if channel.visits is not None:
        return channel.visits
    if channel.started_at is None or channel.worker_id is None:
        return ()
    from_s = channel.started_at.timestamp()
    ended_s = channel.completed_at.timestamp() if channel.completed_at else until_s
    return (VisitSpan(channel.worker_id, from_s, ended_s, 1, ended_s - from_s),)


def _block(channel: ChannelId, span: VisitSpan, began_s: float, length_s: float) -> Block:
    """Clip a span to the timeline: the clocks of several machines differ slightly."""
    from_s = min(max(span.began_s - began_s, 0.0), length_s)
    until_s = min(max(span.ended_s - began_s, from_s), length_s)
    return Block(from_s, until_s, frozenset({channel}), span.count, span.read_s)


def _pack(blocks: Sequence[tuple[int, Block]]) -> tuple[tuple[Block, ...], ...]:
    """Pack blocks into few lanes; beyond the maximum, keep the largest channels."""
    by_time = [block for _, block in sorted(blocks, key=lambda item: item[1].from_s)]
    lanes, left = _first_fit(by_time)
    if left:
        by_size = [block for _, block in sorted(blocks, key=lambda item: -item[0])]
        lanes, left = _first_fit(by_size)
    return tuple(tuple(lane.blocks) for lane in lanes)


def _first_fit(blocks: Iterable[Block]) -> tuple[list[_Lane], int]:
    """Return the lanes and the number of blocks without room."""
    lanes: list[_Lane] = []
    left = 0
    for block in blocks:
        lane = next((found for found in lanes if found.has_room(block)), None)
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
    """Merge short blocks, with a growing threshold, until there are few enough."""
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
    """Merge close neighbours that are short or of the same channel."""
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
    """Return a sort key that puts worker-2 before worker-10."""
    number = re.search(r"\d+$", worker_id)
    stem = worker_id[: number.start()] if number else worker_id
    return stem, int(number[0]) if number else 0, worker_id
