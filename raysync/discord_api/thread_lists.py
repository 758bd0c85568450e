"""Lists of archived threads, page after page: by time of archival, by id, or by search."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from raysync.errors import NoProgressError, SearchIndexError
from raysync.models.entities import Channel
from raysync.models.header_values import bounded_wait, seconds_in
from raysync.models.ids import NO_CHANNEL, ChannelId

_V = TypeVar("_V", datetime, ChannelId)
_PER_PAGE: Final = 100
_SEARCHED_PER_PAGE: Final = 25
_MOST_SEARCHED: Final = 10_000
NO_INDEX: Final = 110_000
"""Discord's code of a search whose index is not made yet."""
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

    With *joined_only* they come by id, the youngest first. A record that has no id that can be
    read comes with that of `NO_CHANNEL`.

    Raises:
        NoProgressError: the list says that there is more, and does not go on; or threads of one
            moment fill a page, so that others of it may be on none.
    """
    kind = "private" if private or joined_only else "public"
    path = f"/channels/{{channel_id}}/threads/archived/{kind}"
    if joined_only:
        path = "/channels/{channel_id}/users/@me/threads/archived/private"
    next_before = _before_id if joined_only else _before_archival
    before: str | None = None
    is_tied = False
    seen: set[ChannelId] = set()
    while True:
        params = {"limit": str(_PER_PAGE)} | ({"before": before} if before else {})
        answer, page = await ask(path, params)
        new = _not_in(seen, page)
        for thread in new:
            yield thread
        says_more = _says_more(answer)
        if not says_more and (not new or len(page) < _PER_PAGE):
            break
        following, passes_over = next_before(page, before, not new)
        if following is None:
            raise _repeats()
        is_tied = is_tied or passes_over
        before = following
    if is_tied:
        raise NoProgressError(
            "More threads were archived at one moment than Discord lists on a page: not all of "
            "them are covered."
        )


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
            if answer.get("code") == NO_INDEX:
                raise SearchIndexError(
                    "Discord has no index of these threads yet.",
                    _pause_s(answer.get("retry_after")),
                )
            self.has_more = _says_more(answer) or len(page) >= _SEARCHED_PER_PAGE
            is_new = any(each.id != NO_CHANNEL for each in _not_in(shown, page))
            for thread in _not_in(self._seen, page):
                yield thread
            self.lowest = min(shown, default=self.lowest)
            if not self.has_more:
                return
            if not is_new:
                raise _repeats()


def _not_in(seen: set[ChannelId], page: Sequence[Channel]) -> list[Channel]:
    """Return the threads of a page that are new, each once, and count them as seen.

    A record without an id may be any thread, so it is always new.
    """
    new = []
    for thread in page:
        if thread.id not in seen:
            new.append(thread)
            seen.update({thread.id} - {NO_CHANNEL})
    return new


def _repeats() -> NoProgressError:
    return NoProgressError(
        "Discord's list says that there are more threads and does not list them: the rest of it "
        "is not covered."
    )


def _pause_s(asked: Any) -> float:
    """What Discord asks for, within a bound; a second where that is no time to wait."""
    asked_s = seconds_in(asked)
    return bounded_wait([] if asked_s is None else [asked_s], _LONGEST_PAUSE_S) or 1.0


def _says_more(answer: Mapping[str, Any]) -> bool:
    """Return what a list says of itself. A page that is full may have more behind it all the same.

    Where it is no truth value, only a text of "false" or a zero denies.
    """
    told = answer.get("has_more")
    return bool(told) and str(told).lower() not in ("false", "0")


def _before_archival(
    page: Sequence[Channel], before: str | None, is_known: bool
) -> tuple[str | None, bool]:
    """Where the next page of a list by time of archival starts; None where there is no way on.

    And whether it passes over threads of the moment at which this page ends.
    """
    times = [each.thread.archived_at for each in page if each.thread and each.thread.archived_at]
    limit = None if before is None else datetime.fromisoformat(before)
    lasts = _ends(times, is_known)
    for candidate in (*map(_just_after, lasts), *lasts[-1:]):
        if limit is None or candidate < limit:
            return candidate.isoformat(), candidate in lasts
    return None, False


def _just_after(moment: datetime) -> datetime:
    try:
        return moment + _OVERLAP
    except OverflowError:  # the end of all time
        return moment


def _before_id(
    page: Sequence[Channel], before: str | None, is_known: bool
) -> tuple[str | None, bool]:
    """Where the next page of a list by id starts; it passes over nothing, for ids differ."""
    for lowest in _ends([each.id for each in page if each.id != NO_CHANNEL], is_known):
        if before is None or lowest < int(before):
            return str(lowest), False
    return None, False


def _ends(values: Sequence[_V], is_known: bool) -> list[_V]:
    """Return where a page may end that comes in descending order: the higher value first.

    One record may tell what is not true: so the last two are looked at, and no earlier one. Where
    all of the page *is known*, its order leads nowhere, and the lowest of it counts.
    """
    return sorted(values, reverse=True)[-1:] if is_known else sorted(values[-2:], reverse=True)
