"""Ids of a history's messages, which hold their times."""

from array import array

from raysync.emulator.generator.draws import mix
from raysync.emulator.world.snowflakes import EPOCH_MS

_SEQUENCES = 0x3FFF


def message_ids(
    count: int, start_ms: int, end_ms: int, seed: int, tie_rate: float = 0.0
) -> "array[int]":
    """Return *count* ascending ids, spread over the time. Some share a millisecond.

    The low eight bits stay free for the ids of attachments. Sequence numbers start at a value from
    the seed, so that ids of different channels do not collide.
    """
    step = (end_ms - start_ms) / max(1, count)
    tie_below = int(tie_rate * (1 << 32))
    ids, at_ms = array("Q"), start_ms - 1
    for index in range(count):
        bits = mix(seed, index)
        sequence = (index + seed) & _SEQUENCES
        if not (index and sequence and bits >> 32 < tie_below):
            jitter = (bits & 0xFFFFFFFF) / 0x100000000
            at_ms = max(at_ms + 1, int(start_ms + (index + jitter) * step))
        ids.append((at_ms - EPOCH_MS) << 22 | sequence << 8)
    return ids
