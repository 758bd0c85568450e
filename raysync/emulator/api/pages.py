"""Messages of a page, chosen by its cursor and changed by the quirks."""

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace

from raysync.emulator.api.quirks import Quirks
from raysync.emulator.world.messages import MessageLog, PageQuery
from raysync.emulator.world.snowflakes import TIMESTAMP_SHIFT, snowflake


def page_ids(log: MessageLog, query: PageQuery, quirks: Quirks, now_ms: int) -> Sequence[int]:
    """Return the ids of a page, newest first."""
    late = _late_ids(log, quirks.late_ms, now_ms)
    page = _select_visible(log, query, late) if late else _select(log, query, quirks)
    if quirks.scramble_ties:
        page = sorted(page, key=lambda message_id: _place(message_id, query.limit), reverse=True)
    if _is_cut(query, quirks.cut_pages):
        page = _halved(page, query)
    if quirks.repeat_messages and page:
        page = [page[-1]] * query.limit
    return page


def _late_ids(log: MessageLog, late_ms: int, now_ms: int) -> frozenset[int]:
    """Return the ids that pages do not show yet, although they show later ones."""
    if not late_ms:
        return frozenset()
    young = log.ids[bisect_left(log.ids, snowflake(now_ms - late_ms)) :]
    return frozenset(one for one in young if zlib.crc32(str(one).encode()) % 4 == 0)


def _select_visible(log: MessageLog, query: PageQuery, late: frozenset[int]) -> Sequence[int]:
    wider = replace(query, limit=query.limit + 2 * len(late))
    shown = [message_id for message_id in log.select(wider) if message_id not in late]
    return shown[-query.limit :] if query.after is not None else shown[: query.limit]


def _select(log: MessageLog, query: PageQuery, quirks: Quirks) -> Sequence[int]:
    """Return a page. With `scramble_ties` it may end anywhere within a millisecond."""
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
    others = [one for one in chosen if one >> TIMESTAMP_SHIFT != cut_ms]
    is_ascending = query.after is not None
    nearest = sorted(tied, key=lambda one: _place(one, query.limit), reverse=not is_ascending)
    return [*others, *nearest[: query.limit - len(others)]]


def _place(message_id: int, limit: int) -> tuple[int, int, int]:
    """Return a sort key: the millisecond, then a hash of the id and the page's limit."""
    scrambled = zlib.crc32(f"{message_id}/{limit}".encode())
    return message_id >> TIMESTAMP_SHIFT, scrambled, message_id


def _is_cut(query: PageQuery, cut_pages: int) -> bool:
    """Return whether a page is cut. The same cursor always gives the same result."""
    cursor = query.after or query.before or query.around or 0
    return bool(cut_pages) and zlib.crc32(str(cursor).encode()) % cut_pages == 0


def _halved(message_ids: Sequence[int], query: PageQuery) -> Sequence[int]:
    """Return the half of a page, newest first, that lies next to its cursor.

    Whole milliseconds are kept: no known server ends a short page within a millisecond.
    """
    if not message_ids:
        return []
    kept = (len(message_ids) + 1) // 2
    at_ms = [one >> TIMESTAMP_SHIFT for one in message_ids]
    if query.after is not None:
        return [one for one in message_ids if one >> TIMESTAMP_SHIFT <= at_ms[-kept]]
    return [one for one in message_ids if one >> TIMESTAMP_SHIFT >= at_ms[kept - 1]]
