"""Lists of archived threads, page after page: by time of archival, by id, or by search."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from raysync.errors import NoProgressError, SearchIndexError
from raysync.models.entities import Channel
from raysync.models.header_values import bounded_wait, seconds_in
from raysync.models.ids import ChannelId

_PER_PAGE: Final = 100
_SEARCHED_PER_PAGE: Final = 25
_MOST_SEARCHED: Final = 10_000
_NO_INDEX: Final = 110_000
_LONGEST_PAUSE_S: Final = 60.0
"""An index takes seconds to be made."""
_OVERLAP: Final = timedelta(milliseconds=1)
"""Threads archived in one millisecond may stand on two pages."""

AskThreads = Callable[[str, dict[str, str]], Awaitable[tuple[dict[str, Any], list[Channel]]]]
"""From a route and its query to the answer, and the threads in it."""


async def archived_threads(
    ask: AskThreads, private: bool, joined_only: bool = False
) -> AsyncIterator[Channel]:
    """Yield the archived threads of a channel, each once, the last archived first.

    With *joined_only* they come by id, the youngest first.

    Raises:
        NoProgressError: the list says that there is more, and does not go on.
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
        new = _not_in(seen, page)
        for thread in new:
            yield thread
        if not answer.get("has_more"):
            return
        following = next_before(page, before)
        if not new or following is None:
            raise _repeats()
        before = following


async def searched_threads(ask: AskThreads, most: int = _MOST_SEARCHED) -> AsyncIterator[Channel]:
    """Yield the archived threads of a channel by Discord's search, the last archived first.

    It knows announcement threads that no list has. One search shows *most* threads. Where there
    are more, those that are left follow by id, the youngest first.

    Raises:
        SearchIndexError: Discord has no index of them yet.
        NoProgressError: the search says that there is more, and does not go on.
    """
    seen: set[ChannelId] = set()
    search = _Search(ask, seen, most)
    async for thread in search({"sort_by": "archive_time"}):
        yield thread
    before: ChannelId | None = None
    while search.has_more:
        query = {"sort_by": "creation_time"} | ({"max_id": str(before)} if before else {})
        async for thread in search(query):
            yield thread
        if search.has_more and (before is not None and search.lowest >= before):
            raise _repeats()
        before = search.lowest


class _Search:
    """Asks for one search after the other; tells what the last one left."""

    def __init__(self, ask: AskThreads, seen: set[ChannelId], most: int) -> None:
        self._ask = ask
        self._seen = seen
        self._most = most
        self.has_more = False
        self.lowest = ChannelId(0)

    async def __call__(self, query: Mapping[str, str]) -> AsyncIterator[Channel]:
        """Yield the threads that no search before has shown."""
        shown: set[ChannelId] = set()
        for offset in range(0, self._most, _SEARCHED_PER_PAGE):
            params = {"archived": "true", "sort_order": "desc", **query}
            params |= {"limit": str(_SEARCHED_PER_PAGE), "offset": str(offset)}
            answer, page = await self._ask("/channels/{channel_id}/threads/search", params)
            if answer.get("code") == _NO_INDEX:
                raise SearchIndexError(
                    "Discord has no index of these threads yet.",
                    _pause_s(answer.get("retry_after")),
                )
            self.has_more = bool(answer.get("has_more"))
            is_new = bool(_not_in(shown, page))
            for thread in _not_in(self._seen, page):
                yield thread
            self.lowest = min(shown, default=self.lowest)
            if not self.has_more:
                return
            if not is_new:
                raise _repeats()


def _not_in(seen: set[ChannelId], page: Sequence[Channel]) -> list[Channel]:
    """Return the threads of a page that are new, each once, and count them as seen."""
    new = {thread.id: thread for thread in page if thread.id not in seen}
    seen.update(new)
    return list(new.values())


def _repeats() -> NoProgressError:
    return NoProgressError(
        "Discord's list says that there are more threads and does not list them: the rest of it "
        "is not covered."
    )


def _pause_s(asked: Any) -> float:
    """What Discord asks for, within a bound; a second where that is no time to wait."""
    asked_s = seconds_in(asked)
    return bounded_wait([] if asked_s is None else [asked_s], _LONGEST_PAUSE_S) or 1.0


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
    lowest = min((each.id for each in page), default=None)
    if lowest is None or (before is not None and lowest >= int(before)):
        return None
    return str(lowest)
