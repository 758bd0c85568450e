"""Which messages a page holds: by the cursor alone, or as the quirks spoil it."""

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

from raysync.emulator.messages import MessageLog, PageQuery
from raysync.emulator.quirks import Quirks
from raysync.emulator.snowflakes import TIMESTAMP_SHIFT, snowflake


def page_ids(log: MessageLog, query: PageQuery, quirks: Quirks, now_ms: int) -> Sequence[int]:
    """Return the ids of a page, newest first."""
    late = late_ids(log, quirks.late_ms, now_ms)
    chosen = _on_time(log, query, late) if late else _select(log, query, quirks)
    if quirks.scramble_ties:
        chosen = sorted(chosen, key=lambda each: _place(each, query.limit), reverse=True)
    if _is_cut(query, quirks.cut_pages):
        chosen = _halved(chosen, query)
    if quirks.repeat_messages and chosen:
        chosen = [chosen[-1]] * query.limit
    return chosen


def late_ids(log: MessageLog, late_ms: int, now_ms: int) -> frozenset[int]:
    """Return the messages that are not on pages yet, though later ones are."""
    if not late_ms:
        return frozenset()
    young = log.ids[bisect_left(log.ids, snowflake(now_ms - late_ms)) :]
    return frozenset(each for each in young if zlib.crc32(str(each).encode()) % 4 == 0)


def _on_time(log: MessageLog, query: PageQuery, late: frozenset[int]) -> Sequence[int]:
    wider = replace(query, limit=query.limit + 2 * len(late))
    shown = [each for each in log.select(wider) if each not in late]
    return shown[-query.limit :] if query.after is not None else shown[: query.limit]


def _select(log: MessageLog, query: PageQuery, quirks: Quirks) -> Sequence[int]:
    """Return a page that ends, where ties are scrambled, anywhere within a millisecond."""
    chosen = log.select(query)
    if not quirks.scramble_ties or len(chosen) < query.limit or query.around is not None:
        return chosen
    cut_ms = (chosen[0] if query.after is not None else chosen[-1]) >> TIMESTAMP_SHIFT
    ids = log.ids
    tied = ids[
        bisect_left(ids, cut_ms << TIMESTAMP_SHIFT) : bisect_left(
            ids, cut_ms + 1 << TIMESTAMP_SHIFT
        )
    ]
    if query.after is not None:
        tied = tied[bisect_right(tied, query.after) :]
    elif query.before is not None:
        tied = tied[: bisect_left(tied, query.before)]
    others = [each for each in chosen if each >> TIMESTAMP_SHIFT != cut_ms]
    is_upwards = query.after is not None
    nearest = sorted(tied, key=lambda each: _place(each, query.limit), reverse=not is_upwards)
    return [*others, *nearest[: query.limit - len(others)]]


def _place(message_id: int, limit: int) -> tuple[int, int, int]:
    """Return where a message stands: by its millisecond, then by a rule that takes the limit in."""
    scrambled = zlib.crc32(f"{message_id}/{limit}".encode())
    return message_id >> TIMESTAMP_SHIFT, scrambled, message_id


def _is_cut(query: PageQuery, cut_pages: int) -> bool:
    """Return whether a page comes cut: always the same ones."""
    cursor = query.after or query.before or query.around or 0
    return bool(cut_pages) and zlib.crc32(str(cursor).encode()) % cut_pages == 0


def _halved(message_ids: Sequence[int], query: PageQuery) -> Sequence[int]:
    """Return the half of a page, newest first, that lies next to its cursor.

    A short page that ends within a millisecond is known of no server: whole ones are left out.
    """
    kept = (len(message_ids) + 1) // 2
    at = [each >> TIMESTAMP_SHIFT for each in message_ids]
    if query.after is not None:
        return [each for each in message_ids if each >> TIMESTAMP_SHIFT <= at[-kept]] if at else []
    return [each for each in message_ids if each >> TIMESTAMP_SHIFT >= at[kept - 1]] if at else []
