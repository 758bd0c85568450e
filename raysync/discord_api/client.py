"""discord.py's HTTP client, for one token: raw payloads in, models out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, Self, TypeVar

import discord
from discord.http import Route

from raysync.discord_api.convert import channel_of, guild_of, member_of, message_of
from raysync.discord_api.errors import translated
from raysync.discord_api.gate import RequestLimiter, gate_for
from raysync.discord_api.privacy import Identities
from raysync.errors import (
    AccessDeniedError,
    GuildUnavailableError,
    NotFoundError,
    RetryableError,
    TokenRejectedError,
)
from raysync.models.entities import BotIdentity, BotMember, Channel, Guild, Message
from raysync.models.ids import ChannelId, GuildId, MessageId, UserId

_T = TypeVar("_T")
CALL_TIMEOUT_S = 180.0
"""For one call with its waits for permits; discord.py's own five tries included."""
THREADS_PER_PAGE = 100
_CONTENT_FLAGS = 1 << 18 | 1 << 19


class _NoRatelimit:
    """In place of discord.py's bucket: the gate holds the limits, and no page is withheld."""

    remaining = 1
    limit = 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None

    def update(self, _response: object, *, use_clock: bool = False) -> None:
        """Nothing to learn here; the gate has seen the answer."""

    def is_inactive(self) -> bool:
        return False


class DiscordClient:
    """Reads one token's guilds. Logs in once, in the loop it is used in; close it at the end."""

    def __init__(
        self, token: str, base_url: str, limiter: RequestLimiter, identities: Identities
    ) -> None:
        self._token = token
        self._base_url = base_url
        self._identities = identities
        self._client = discord.Client(
            intents=discord.Intents.none(),
            max_messages=None,
            http_trace=gate_for(limiter),
            max_ratelimit_timeout=60.0,
        )

    @property
    def _http(self) -> Any:
        return self._client.http

    async def login(self) -> None:
        """Make the token known to Discord. Two requests.

        Raises:
            TokenRejectedError: it is not valid, or not a bot's.
        """
        Route.BASE = self._base_url
        unlimited = _NoRatelimit()
        self._http.get_ratelimit = lambda _key: unlimited
        await self._ask(self._client.login(self._token), "logging in")
        user = self._client.user
        if user is None or not user.bot:
            raise TokenRejectedError(
                "The token belongs to a user account. Discord forbids automating those: make a "
                "bot in the Developer Portal and use its token."
            )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def identify(self) -> BotIdentity:
        """Say who the token is; asks nothing, the login has told it."""
        user = self._client.user
        flags = self._client.application_flags.value
        return BotIdentity(UserId(user.id if user else 0), bool(flags & _CONTENT_FLAGS))

    async def fetch_guild(self, guild_id: GuildId) -> Guild:
        """The guild and its roles. Raises GuildUnavailableError."""
        try:
            call = self._http.get_guild(guild_id, with_counts=False)
            return guild_of(await self._ask(call, f"guild {guild_id}"))
        except (AccessDeniedError, NotFoundError):
            raise GuildUnavailableError(
                f"The bot is not in guild {guild_id}, or there is no such guild: invite it with "
                "View Channels and Read Message History, or correct the guild id."
            ) from None

    async def fetch_member(self, guild_id: GuildId, user_id: UserId) -> BotMember:
        """The bot's own membership."""
        payload = await self._ask(self._http.get_member(guild_id, user_id), "the bot's roles")
        return member_of(payload, user_id)

    async def list_channels(self, guild_id: GuildId) -> Sequence[Channel]:
        """All channels, those hidden from the bot included."""
        call = self._http.get_all_guild_channels(guild_id)
        payloads = _listed(await self._ask(call, "the guild's channels"))
        return [channel_of(each, guild_id, self._identities) for each in payloads]

    async def list_active_threads(self, guild_id: GuildId) -> Sequence[Channel]:
        """All active threads that the bot may see."""
        page = await self._ask(self._http.get_active_threads(guild_id), "the active threads")
        return self._threads(page, guild_id)

    async def list_archived_threads(
        self, parent: Channel, *, private: bool, joined_only: bool = False
    ) -> AsyncIterator[Channel]:
        """The archived threads under *parent*, the last archived first."""
        ask = self._http.get_public_archived_threads
        if private:
            ask = self._http.get_private_archived_threads
        if private and joined_only:
            ask = self._http.get_joined_private_archived_threads
        before: str | None = None
        while True:
            call = ask(parent.id, before=before, limit=THREADS_PER_PAGE)
            page = await self._ask(call, f"the archived threads of channel {parent.id}")
            threads = self._threads(page, parent.guild_id)
            for each in threads:
                yield each
            following = _next_before(page, by_id=private and joined_only)
            if not page.get("has_more") or following in (None, before):
                return
            before = following

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        """Up to *limit* messages above *after*: the oldest of them."""
        call = self._http.logs_from(channel_id, limit, after=after)
        payloads = _listed(await self._ask(call, f"messages of channel {channel_id}"))
        with translated(f"messages of channel {channel_id}"):
            return [message_of(each, self._identities) for each in payloads]

    def _threads(self, page: dict[str, Any], guild_id: GuildId) -> list[Channel]:
        joined = {each.get("id") for each in page.get("members") or ()}
        return [
            channel_of(each, guild_id, self._identities, joined=each["id"] in joined)
            for each in page.get("threads") or ()
        ]

    async def _ask(self, call: Awaitable[_T], what: str) -> _T:
        with translated(what):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answer = await call
        if isinstance(answer, str):  # discord.py returns what is not JSON as text
            raise RetryableError(f"Discord's answer is not JSON: {what}.")
        return answer


def _listed(answer: Any) -> list[dict[str, Any]]:
    """Discord documents `null` where a list is empty."""
    return answer or []


def _next_before(page: dict[str, Any], *, by_id: bool) -> str | None:
    """Where the next page of archived threads begins: public and private go by archive time."""
    threads = page.get("threads") or []
    if not threads:
        return None
    if by_id:
        return str(min(int(each["id"]) for each in threads))
    return str(min(each["thread_metadata"]["archive_timestamp"] for each in threads))
