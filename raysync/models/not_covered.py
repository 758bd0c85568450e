"""What a run could not ask for, because the API has no route for it."""

from __future__ import annotations

from dataclasses import dataclass

from raysync.models.ids import ChannelId


@dataclass(frozen=True, slots=True, order=True)
class MissingRoute:
    """A route that the API lacks and that a run can do without."""

    route: str  #: as documented: `GET /channels/{channel_id}/threads/search`
    what: str  #: what is not covered without it
    reason: str  #: what the API answered


@dataclass(frozen=True, slots=True)
class NotCovered:
    """A missing route, with the channels of which it would have told."""

    missing: MissingRoute
    channels: frozenset[ChannelId]  #: none: it is about the guild, or the bot
