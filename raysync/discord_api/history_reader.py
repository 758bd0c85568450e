"""The messages of channels, page by page, as raysync's own models."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from raysync.discord_api.answer_shapes import list_of
from raysync.discord_api.careful import read_message
from raysync.discord_api.people.identity import has_content_intent
from raysync.discord_api.people.pseudonyms import Identities
from raysync.discord_api.transport import Transport
from raysync.errors import RetryableError, RouteMissingError, UnknownMessageError
from raysync.models.entities import Message
from raysync.models.ids import ChannelId, MessageId

_INTENT_CACHE_S: Final = 60.0
_REACHABLE_CACHE_S: Final = 5.0


class HistoryReader:
    """One token's view of messages. Satisfies the engine's `HistorySource`."""

    def __init__(self, transport: Transport, identities: Identities) -> None:
        self._transport = transport
        self._identities = identities
        self._has_content, self._intent_at_s = True, -math.inf
        self._is_reachable, self._reached_at_s = True, -math.inf
        self._reaching = asyncio.Lock()

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        """Fetch the oldest *limit* messages above *after*, in no promised order.

        A record that differs from Discord's documentation is a message with a `quarantine`.
        """
        path, params = "/channels/{channel_id}/messages", {"limit": str(limit), "after": str(after)}
        payloads = list_of(await self._transport.get(path, params, channel_id=channel_id))
        return [read_message(payload, self._identities) for payload in payloads]

    async def has_message(self, channel_id: ChannelId, message_id: MessageId) -> bool:
        """Return whether the message exists.

        Raises AccessDeniedError without the permission to read it.
        """
        path = "/channels/{channel_id}/messages/{message_id}"
        try:
            await self._transport.get(path, {}, channel_id=channel_id, message_id=message_id)
        except UnknownMessageError:
            return False
        return True

    async def is_reachable(self) -> bool:
        """Return whether Discord answers anything at all; cached for 5 s."""
        async with self._reaching:
            now_s = asyncio.get_running_loop().time()
            if now_s - self._reached_at_s > _REACHABLE_CACHE_S:
                try:
                    await self._transport.get("/users/@me")
                    self._is_reachable = True
                except RetryableError:
                    self._is_reachable = False
                self._reached_at_s = asyncio.get_running_loop().time()
            return self._is_reachable

    async def has_content_intent(self, *, anew: bool = False) -> bool:
        """Return whether messages come with their content; cached for a minute, unless *anew*."""
        now_s = asyncio.get_running_loop().time()
        if anew or now_s - self._intent_at_s > _INTENT_CACHE_S:
            with suppress(RouteMissingError):  # unknown, but blank pages show it by themselves
                self._has_content = await has_content_intent(self._transport.get)
            self._intent_at_s = now_s
        return self._has_content
