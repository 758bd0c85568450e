"""What Discord does only sometimes, or only some say it does: each with a switch."""

from dataclasses import dataclass


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
