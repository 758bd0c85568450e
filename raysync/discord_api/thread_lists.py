"""Lists of archived threads: by time of archival, by id, or by search."""

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
_MAX_SEARCHED: Final = 10_000
NO_INDEX: Final = 110_000
"""Discord's code for a search whose index does not exist yet."""
_LONGEST_PAUSE_S: Final = 60.0
"""Longest pause for an index, in seconds: Discord builds one within seconds."""
_OVERLAP: Final = timedelta(milliseconds=1)
"""Overlap of pages, since threads archived in one millisecond may be on two pages."""

AskThreads = Callable[[str, dict[str, str]], Awaitable[tuple[dict[str, Any], list[Channel]]]]
"""A request of a route with a query, which returns the answer and the threads in it."""


async def archived_threads(
    ask: AskThreads, private: bool, joined_only: bool = False
) -> AsyncIterator[Channel]:
    """Yield the archived threads of a channel, each once, the last archived first.

    With *joined_only* they come by id, the youngest first. A record without a readable id has the
    id `NO_CHANNEL`.

    Raises:
        NoProgressError: the list says that there is more, and does not go on; or threads archived
            at one moment fill a page, so that others may be on none.
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
        has_more = _has_more(answer)
        if not has_more and (not new or len(page) < _PER_PAGE):
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


async def searched_threads(ask: AskThreads, most: int = _MAX_SEARCHED) -> AsyncIterator[Channel]:
    """Yield the archived threads of a channel by Discord's search, the last archived first.

    It finds announcement threads that no list has. One search shows *most* threads. Where there
    are more, the rest follow by id, the youngest first.

    Raises:
        SearchIndexError: Discord has no index of these threads yet.
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
    """Successive searches, and what the last one left."""

    def __init__(self, ask: AskThreads, seen: set[ChannelId], most: int) -> None:
        self._ask = ask
        self._seen = seen
        self._most = most
        self.has_more = False
        self.lowest = ChannelId(0)

    async def __call__(self, query: Mapping[str, str]) -> AsyncIterator[Channel]:
        """Yield the threads that no earlier search has shown."""
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
            self.has_more = _has_more(answer) or len(page) >= _SEARCHED_PER_PAGE
            is_new = any(thread.id != NO_CHANNEL for thread in _not_in(shown, page))
            for thread in _not_in(self._seen, page):
                yield thread
            self.lowest = min(shown, default=self.lowest)
            if not self.has_more:
                return
            if not is_new:
                raise _repeats()


def _not_in(seen: set[ChannelId], page: Sequence[Channel]) -> list[Channel]:
    """Return the new threads of a page, each once, and count them as seen.

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
        "Discord's list says that there are more threads, but does not list them. The rest of it "
        "is not covered."
    )


def _pause_s(asked: Any) -> float:
    """Return the pause that Discord names, within a bound; a second where it names none."""
    asked_s = seconds_in(asked)
    return bounded_wait([] if asked_s is None else [asked_s], _LONGEST_PAUSE_S) or 1.0


def _has_more(answer: Mapping[str, Any]) -> bool:
    """Return whether a list says that it has more. More may follow a full page in any case.

    Of values that are no booleans, only "false" and zero mean no.
    """
    has_more = answer.get("has_more")
    return bool(has_more) and str(has_more).lower() not in ("false", "0")


def _before_archival(
    page: Sequence[Channel], before: str | None, is_known: bool
) -> tuple[str | None, bool]:
    """Return where the next page by time of archival starts; None where the list does not go on.

    The second value says whether it skips threads of the moment at which this page ends.
    """
    states = [channel.thread for channel in page if channel.thread]
    times = [state.archived_at for state in states if state.archived_at]
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
    """Return where the next page by id starts; it skips nothing, since ids are unique."""
    for lowest in _ends([thread.id for thread in page if thread.id != NO_CHANNEL], is_known):
        if before is None or lowest < int(before):
            return str(lowest), False
    return None, False


def _ends(values: Sequence[_V], is_known: bool) -> list[_V]:
    """Return the values at which a page in descending order may end, the higher one first.

    One record may be wrong, so the last two are used, and no earlier one. Where the whole page
    *is known*, its order is wrong, and its lowest value is used.
    """
    return sorted(values, reverse=True)[-1:] if is_known else sorted(values[-2:], reverse=True)
