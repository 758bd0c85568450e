"""Routes that a run could not use, because the API lacks them."""

from __future__ import annotations

from dataclasses import dataclass

from raysync.models.ids import ChannelId


@dataclass(frozen=True, slots=True, order=True)
class MissingRoute:
    """Route that the API lacks, and that a run can do without."""

    route: str  #: as documented: `GET /channels/{channel_id}/threads/search`
    what: str  #: content that is not covered without the route
    reason: str  #: the API's answer


@dataclass(frozen=True, slots=True)
class NotCovered:
    """Missing route with the channels that it would have covered."""

    missing: MissingRoute
    channels: frozenset[ChannelId]  #: empty: the route concerns the guild, or the bot
