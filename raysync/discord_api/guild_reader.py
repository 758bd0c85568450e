"""The lists of a guild, route by route, as raysync's own models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from raysync.discord_api.answer_shapes import list_of, object_of, required_list
from raysync.discord_api.fields import Payload, mapping
from raysync.discord_api.guilds import guild_from, member_from, read_channel, readable
from raysync.discord_api.people.pseudonyms import Identities
from raysync.discord_api.thread_lists import (
    NO_INDEX,
    AskThreads,
    archived_threads,
    searched_threads,
)
from raysync.discord_api.transport import Transport
from raysync.errors import AccessDeniedError, GuildUnavailableError, NotFoundError
from raysync.models.entities import BotIdentity, BotMember, Channel, Guild
from raysync.models.ids import ChannelId, GuildId, UserId, latest_snowflake

_UNKNOWN: Final = frozenset({10003, 10004, 10008})
"""Discord's codes for a channel, guild or message that does not exist."""


class GuildReader:
    """One token's view of guilds, channels and threads. Satisfies the engine's `GuildSource`."""

    def __init__(self, transport: Transport, identities: Identities) -> None:
        self._transport = transport
        self._identities = identities

    async def identify(self) -> BotIdentity:
        """Return the identity of the token's bot, as login learned it: no request."""
        return await self._transport.login()

    async def fetch_guild(self, guild_id: GuildId) -> Guild:
        """Fetch the guild with its roles.

        Raises GuildUnavailableError where the bot is not a member of it.
        """
        return guild_from(await self._get_of_guild("/guilds/{guild_id}", guild_id), guild_id)

    async def fetch_member(self, guild_id: GuildId, user_id: UserId) -> BotMember:
        """Fetch a member of the guild.

        Raises GuildUnavailableError where the bot is not a member of the guild.
        """
        path = "/guilds/{guild_id}/members/{user_id}"
        return member_from(await self._get_of_guild(path, guild_id, user_id=user_id), user_id)

    async def list_channels(self, guild_id: GuildId) -> Sequence[Channel]:
        """List channels of every type, also those the bot may not see; never threads."""
        payloads = list_of(await self._get_of_guild("/guilds/{guild_id}/channels", guild_id))
        return [self._channel(payload, guild_id) for payload in payloads]

    async def list_active_threads(self, guild_id: GuildId) -> Sequence[Channel]:
        """List all threads that are not archived and that the bot may see."""
        answer = await self._get_of_guild("/guilds/{guild_id}/threads/active", guild_id)
        return self._threads(object_of(answer), guild_id)

    def list_archived_threads(
        self, parent: Channel, *, private: bool, joined_only: bool = False
    ) -> AsyncIterator[Channel]:
        """See `raysync.discord_api.thread_lists.archived_threads`."""
        return archived_threads(self._ask_of_threads(parent), private, joined_only)

    def search_archived_threads(self, parent: Channel) -> AsyncIterator[Channel]:
        """See `raysync.discord_api.thread_lists.searched_threads`."""
        return searched_threads(self._ask_of_threads(parent))

    def _ask_of_threads(self, parent: Channel) -> AskThreads:
        async def ask(path: str, params: dict[str, str]) -> tuple[dict[str, Any], list[Channel]]:
            answer = object_of(await self._transport.get(path, params, channel_id=parent.id))
            return answer, self._threads(answer, parent.guild_id)

        return ask

    async def has_channel(self, channel_id: ChannelId) -> bool:
        """Return whether the channel or thread exists, even if the bot may not see it.

        Raises NotFoundError where a 404 lacks Discord's code for that: it may be a proxy's.
        """
        try:
            await self._transport.get("/channels/{channel_id}", {}, channel_id=channel_id)
        except NotFoundError as error:
            if error.code not in _UNKNOWN:
                raise
            return False
        except AccessDeniedError:
            return True
        return True

    def _channel(
        self, payload: Any, guild_id: GuildId, joined: frozenset[str] = frozenset()
    ) -> Channel:
        bot_id, latest = self._transport.bot.user_id, latest_snowflake(datetime.now(UTC))
        return read_channel(payload, guild_id, bot_id, self._identities, joined, latest)

    def _threads(self, answer: Payload, guild_id: GuildId) -> list[Channel]:
        bot_id, members = str(self._transport.bot.user_id), answer.get("members")
        read = readable(members if isinstance(members, list) else [], mapping)
        joined = frozenset(
            str(member.get("id")) for member in read if member.get("user_id") == bot_id
        )
        has_index = answer.get("code") != NO_INDEX
        threads = required_list(answer.get("threads")) if has_index else []
        return [self._channel(thread, guild_id, joined) for thread in threads]

    async def _get_of_guild(self, path: str, guild_id: GuildId, **ids: int) -> Any:
        try:
            return await self._transport.get(path, {}, guild_id=guild_id, **ids)
        except (AccessDeniedError, NotFoundError) as error:
            raise GuildUnavailableError(
                f"The bot is not in the guild {guild_id}, or there is no such guild. ({error})"
            ) from None
