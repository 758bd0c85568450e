"""Lists of archived threads, page after page: by time of archival, by id, or by search."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from raysync.errors import SearchIndexError
from raysync.models.entities import Channel
from raysync.models.ids import NO_CHANNEL, ChannelId

_PER_PAGE: Final = 100
_SEARCHED_PER_PAGE: Final = 25
_MOST_SEARCHED: Final = 10_000
_NO_INDEX: Final = 110_000
_OVERLAP: Final = timedelta(milliseconds=1)
"""Threads archived in one millisecond may stand on two pages."""

AskThreads = Callable[[str, dict[str, str]], Awaitable[tuple[dict[str, Any], list[Channel]]]]
"""From a route and its query to the answer, and the threads in it."""


async def archived_threads(
    ask: AskThreads, private: bool, joined_only: bool = False
) -> AsyncIterator[Channel]:
    """The archived threads of a channel, each once, the last archived first.

    With *joined_only* they come by id, the youngest first. A record that has no id that can be
    read comes with that of `NO_CHANNEL`.
    """
    kind = "private" if private or joined_only else "public"
    path = f"/channels/{{channel_id}}/threads/archived/{kind}"
    if joined_only:
        path = "/channels/{channel_id}/users/@me/threads/archived/private"
    next_before = _before_id if joined_only else _before_archival
    before: str | None = None
    seen: set[ChannelId] = set()
    while True:
        params = {"limit": str(_PER_PAGE)} | ({"before": before} if before else {})
        answer, page = await ask(path, params)
        for each in page:
            if each.id not in seen or each.id == NO_CHANNEL:
                seen.add(each.id)
                yield each
        following = next_before(page, before)
        if not answer.get("has_more") or following is None:
            if answer.get("has_more") and any(each.unreadable for each in page):
                yield replace(page[0], id=NO_CHANNEL)  # what follows cannot be asked for
            return
        before = following


async def searched_threads(ask: AskThreads) -> AsyncIterator[Channel]:
    """The archived threads of a channel by Discord's search, the last archived first.

    It knows announcement threads that no list has, and the latest 10,000 at most. Raises
    SearchIndexError while Discord has no index of them.
    """
    seen: set[ChannelId] = set()
    for offset in range(0, _MOST_SEARCHED, _SEARCHED_PER_PAGE):
        params = {
            "archived": "true",
            "sort_by": "archive_time",
            "sort_order": "desc",
            "limit": str(_SEARCHED_PER_PAGE),
            "offset": str(offset),
        }
        answer, page = await ask("/channels/{channel_id}/threads/search", params)
        if answer.get("code") == _NO_INDEX:
            raise SearchIndexError(
                "Discord has no index of these threads yet.", _pause_s(answer.get("retry_after"))
            )
        for each in page:
            if each.id not in seen or each.id == NO_CHANNEL:
                seen.add(each.id)
                yield each
        if not page or not answer.get("has_more"):
            return


def _pause_s(told: Any) -> float:
    """What Discord asks for; a second where that is no time to wait."""
    is_time = isinstance(told, int | float) and 0 < told < math.inf
    return float(told) if is_time else 1.0


def _before_archival(page: Sequence[Channel], before: str | None) -> str | None:
    """Where the next page of a list by time of archival starts; None where there is no way on."""
    times = [each.thread.archived_at for each in page if each.thread and each.thread.archived_at]
    if not times:
        return None
    earliest = min(times)
    try:
        candidates = (earliest + _OVERLAP, earliest)
    except OverflowError:  # the end of all time
        candidates = (earliest, earliest)
    for candidate in candidates:
        if before is None or candidate < datetime.fromisoformat(before):
            return candidate.isoformat()
    return None


def _before_id(page: Sequence[Channel], before: str | None) -> str | None:
    """Where the next page of a list by id starts."""
    lowest = min((each.id for each in page if each.id != NO_CHANNEL), default=None)
    if lowest is None or (before is not None and lowest >= int(before)):
        return None
    return str(lowest)
