"""The routes of Discord that raysync uses, and the data that is not covered without them.

Compatible servers lack routes, and Discord removes some. A missing route is a property of the API:
it is requested once a run, and its data is reported as not covered. A missing channel or message
concerns that thing alone, and Discord names it by a code of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from raysync.errors import NotFoundError, PayloadError, RetryableError, RouteMissingError

APPLICATION: Final = "GET /oauth2/applications/@me"
APPLICATION_TOO: Final = "GET /applications/@me"
CHANNEL: Final = "GET /channels/{channel_id}"
MESSAGE: Final = "GET /channels/{channel_id}/messages/{message_id}"

NEEDED: Final[Mapping[str, str]] = {
    "GET /users/@me": "who the bot is",
    "GET /guilds/{guild_id}": "the guild, its roles",
    "GET /guilds/{guild_id}/members/{user_id}": "the bot's own roles",
    "GET /guilds/{guild_id}/channels": "the guild's channels",
    "GET /channels/{channel_id}/messages": "messages",
}
"""Routes without which no sync is possible, and the data that they give."""

_INTENT: Final = "whether the bot has the message content intent"
OPTIONAL: Final[Mapping[str, str]] = {
    APPLICATION: _INTENT,
    APPLICATION_TOO: _INTENT,
    "GET /guilds/{guild_id}/threads/active": "active threads",
    "GET /channels/{channel_id}/threads/archived/public": "archived public threads",
    "GET /channels/{channel_id}/threads/archived/private": "archived private threads",
    "GET /channels/{channel_id}/users/@me/threads/archived/private": (
        "archived private threads that the bot has joined"
    ),
    "GET /channels/{channel_id}/threads/search": (
        "archived announcement threads that no list names"
    ),
    CHANNEL: "which channels and threads exist no more",
    MESSAGE: "whether a channel's newest message was deleted, and addresses of attachments",
    "GET /channels/{channel_id}/messages/{message_id}/reactions/{emoji}": "who reacted",
    "POST /attachments/refresh-urls": "fresh addresses of attachments",
    "GET /gateway/bot": "the address of the gateway, which a tail listens to",
}
"""Routes that a run can do without, and the data that is not covered then.

`GET /applications/@me` stands in for the first, and the message itself for fresh addresses.
"""

_NO_BOTS: Final = 20001
_LEAST_CODE: Final = 1000
"""Least of Discord's codes for missing things; below are 0, and statuses that servers repeat."""
_MISSING: Final = frozenset({405, 410, 501})
_UNKNOWN_ROUTE: Final = re.compile(
    r"\b(unknown|no such|unsupported) (route|endpoint|path)\b", re.IGNORECASE
)
_PATH: Final = re.compile(r"\S*/\S*")
_THING: Final = re.compile(r"\b(channel|thread|guild|message|emoji|user|member)s?\b", re.IGNORECASE)
_SENTENCE: Final = 200
"""Longest text of an error of Discord's; a longer text is a web page."""


def is_missing_route(status: int, code: object, text: str) -> bool:
    """Return whether an answer says that the API lacks the route, not that a thing is missing.

    *code* is Discord's own, *text* its message, or the body where that is not Discord's JSON.
    """
    if status in _MISSING:
        return True
    if status == 403:
        return code == _NO_BOTS
    if isinstance(code, int) and code >= _LEAST_CODE:
        return False
    head = text[:_SENTENCE]
    if status == 400:
        return _UNKNOWN_ROUTE.search(head) is not None
    return status == 404 and (_UNKNOWN_ROUTE.search(head) is not None or not _names_a_thing(text))


def _names_a_thing(text: str) -> bool:
    """Return whether *text* is a sentence about a missing thing.

    Servers without Discord's codes send such sentences.
    """
    is_sentence = len(text) <= _SENTENCE and "<" not in text
    return is_sentence and _THING.search(_PATH.sub("", text)) is not None


def missing(route: str, status: int) -> RouteMissingError:
    """Return the error for a route that the API lacks."""
    says = f"{route}: Discord answers {status}: the API has no such route."
    return RouteMissingError(says, route, OPTIONAL[route])


class KnownRoutes:
    """The optional routes that one run knows to exist or to be missing, in one process.

    While a route is unknown, one request tries it and the others wait, so a missing route costs one
    request. A route that has answered exists, so a later "no such route" concerns the requested
    thing.
    """

    def __init__(self) -> None:
        self._missing: dict[str, RouteMissingError] = {}
        self._there: set[str] = set()
        self._unclear: set[str] = set()
        self._first: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def learn(self, error: RouteMissingError) -> None:
        """Add a route that another process of the run found missing."""
        if error.route not in self._there:
            self._missing.setdefault(error.route, error)

    @asynccontextmanager
    async def asking(self, route: str) -> AsyncIterator[None]:
        """Request the route within this context.

        Raises:
            RouteMissingError: the API lacks the route; if that is known, no request is sent.
            PayloadError: the answer says so, but the route has answered before.
        """
        if route not in OPTIONAL:
            yield
            return
        is_first = await self._acquire_first(route)
        try:
            self._refuse_missing(route)
            with self._learning(route):
                yield
        finally:
            if is_first:
                self._first[route].release()

    async def _acquire_first(self, route: str) -> bool:
        """Wait while another request tries an unknown route.

        Return whether the route is still unknown; then this request tries it, and the others wait.
        """
        if self._is_open(route):
            return False
        await self._first[route].acquire()
        if self._is_open(route):
            self._first[route].release()
            return False
        return True

    def _is_open(self, route: str) -> bool:
        return route in self._there or route in self._missing or route in self._unclear

    def _refuse_missing(self, route: str) -> None:
        if route in self._missing:
            raise RouteMissingError(*self._missing[route].args)

    @contextmanager
    def _learning(self, route: str) -> Iterator[None]:
        try:
            yield
        except RouteMissingError as error:
            if route in self._there:
                raise PayloadError(
                    f"{error} But the route answered before, so this concerns the requested thing."
                ) from None
            self._missing[route] = error
            raise
        except NotFoundError:
            self._there.add(route)
            raise
        except RetryableError:  # it may take long, so the others no longer wait
            self._unclear.add(route)
            raise
        else:
            self._there.add(route)
