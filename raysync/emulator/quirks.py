"""What Discord does only sometimes, or only some say it does: each with a switch."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class MissingForm(StrEnum):
    """How a server answers a route that it does not have."""

    DISCORD = "discord"  #: 404, `{"message": "404: Not Found", "code": 0}`
    TEXT = "text"  #: 404, `404 page not found`
    HTML = "html"  #: 404, a proxy's page
    METHOD = "method"  #: 405, `{"message": "405: Method Not Allowed", "code": 0}`
    GONE = "gone"  #: 410, as of a route that was taken away
    NOT_IMPLEMENTED = "not-implemented"  #: 501, as of a route that is not there yet
    BAD_REQUEST = "bad-request"  #: 400, `{"message": "Unknown route", "code": 0}`
    NO_BOTS = "no-bots"  #: 403, `{"message": "Bots cannot use this endpoint", "code": 20001}`


@dataclass(frozen=True, slots=True)
class Quirks:
    """How the emulator behaves where Discord is odd. The defaults are the common case."""

    gzip: bool = False  #: compress when the client accepts it: 0.5 ms of CPU a page, so off
    scramble_ties: bool = False  #: order, and cut, a millisecond's messages by the page's limit
    null_for_empty: bool = False  #: `null` in place of an empty list of messages
    forbid_foreign_guild: bool = False  #: 403 50001 in place of 404 10004
    announcement_archive_gap: bool = False  #: archived/public leaves announcement threads out
    late_ms: int = 0  #: one message of four shows on pages only so long after it was written
    cut_pages: int = 0  #: one page of so many, by its cursor, has half of its messages
    require_user_agent: bool = False  #: 403 40333 for a User-Agent that is not a DiscordBot's
    ignored_cursors: frozenset[str] = frozenset()  #: query parameters that change nothing
    repeat_messages: bool = False  #: one message, as often as the page holds messages
    endless_lists: bool = False  #: lists of threads always say that there are more
    missing_routes: Collection[str] = ()  #: `GET /channels/{channel_id}/threads/search`, …
    missing_form: MissingForm = MissingForm.DISCORD  #: how these are answered
