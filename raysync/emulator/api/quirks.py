"""Switches for behaviour that Discord shows only sometimes, or that only some report."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class MissingForm(StrEnum):
    """Answers of a server to a route that it lacks."""

    DISCORD = "discord"  #: 404, `{"message": "404: Not Found", "code": 0}`
    TEXT = "text"  #: 404, `404 page not found`
    HTML = "html"  #: 404, a proxy's page
    METHOD = "method"  #: 405, `{"message": "405: Method Not Allowed", "code": 0}`
    GONE = "gone"  #: 410, as for a route that was removed
    NOT_IMPLEMENTED = "not-implemented"  #: 501, as for a route that is not implemented yet
    BAD_REQUEST = "bad-request"  #: 400, `{"message": "Unknown route", "code": 0}`
    NO_BOTS = "no-bots"  #: 403, `{"message": "Bots cannot use this endpoint", "code": 20001}`


@dataclass(frozen=True, slots=True)
class Quirks:
    """Odd behaviour of Discord, switched on or off. The defaults are the common case."""

    gzip: bool = False  #: compress if the client accepts it; off, as it costs 0.5 ms of CPU a page
    scramble_ties: bool = False  #: order and cut the messages of a millisecond by the page's limit
    null_for_empty: bool = False  #: `null` instead of an empty list of messages
    forbid_foreign_guild: bool = False  #: 403 50001 instead of 404 10004
    announcement_archive_gap: bool = False  #: archived/public omits announcement threads
    late_ms: int = 0  #: one message of four appears on pages this long after it was written
    cut_pages: int = 0  #: one page of this many, by its cursor, holds half of its messages
    require_user_agent: bool = False  #: 403 40333 unless the User-Agent is a DiscordBot's
    ignored_cursors: frozenset[str] = frozenset()  #: query parameters that have no effect
    repeat_messages: bool = False  #: one message fills the whole page
    endless_lists: bool = False  #: lists of threads always have `has_more`
    missing_routes: Collection[str] = ()  #: such as `GET /channels/{channel_id}/threads/search`
    missing_form: MissingForm = MissingForm.DISCORD  #: the answer to these routes
