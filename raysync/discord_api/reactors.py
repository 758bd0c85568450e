"""The lists of users who reacted to a message."""

from __future__ import annotations

from typing import Any, Final

from raysync.discord_api.fields import mapping, snowflake
from raysync.discord_api.guilds import readable
from raysync.discord_api.people.pseudonyms import Identities
from raysync.discord_api.transport import Transport
from raysync.errors import NoProgressError, PayloadError
from raysync.models.extras import ReactorPage
from raysync.models.ids import ChannelId, MessageId, UserId

HEAD_START_OF_EXTRAS_S: Final = -5.0
"""Head start of requests for extras, in seconds: those for messages go first."""
_PATH: Final = "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}"
_PER_PAGE: Final = 100


class ReactorLists:
    """The lists of reactors. Satisfies the engine's `ReactorSource`."""

    def __init__(self, transport: Transport, identities: Identities) -> None:
        self._transport = transport
        self._identities = identities

    async def fetch_reactors(
        self,
        channel_id: ChannelId,
        message_id: MessageId,
        emoji: str,
        *,
        burst: bool,
        after: UserId | None,
    ) -> ReactorPage:
        """Return those who reacted with *emoji*, as a burst or not, by ascending id.

        Raises UnknownMessageError or UnknownEmojiError where either was deleted, and
        NoProgressError where the list repeats users that *after* excludes.
        """
        params = {"limit": str(_PER_PAGE), "type": "1" if burst else "0"}
        params |= {"after": str(after)} if after else {}
        ids: dict[str, Any] = {"channel_id": channel_id, "message_id": message_id, "emoji": emoji}
        users = await self._transport.request(
            "GET", _PATH, params, head_start_s=HEAD_START_OF_EXTRAS_S, **ids
        )
        if not isinstance(users, list | None):
            raise PayloadError("A list of reactors is not what Discord documents.")
        found = readable(users or [], lambda user: snowflake(mapping(user)["id"]))
        if after is not None and min(found, default=after + 1) <= after:
            raise NoProgressError(
                "Discord's list of reactors repeats users instead of going on: who reacted to "
                f"message {message_id} cannot be read to the end."
            )
        refs = [self._identities.author_ref(str(user_id)) for user_id in found]
        kept = [ref for ref in refs if not self._identities.is_suppressed(ref)]
        goes_on = len(users or ()) >= _PER_PAGE and found
        return ReactorPage(
            kept,
            UserId(max(found)) if goes_on else None,
            is_whole=len(found) == len(users or ()),
        )
