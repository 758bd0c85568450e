"""A bot's client: what raysync asks of Discord, route by route, as raysync's own models."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from raysync.discord_api.careful import read_message
from raysync.discord_api.fields import Payload, mapping
from raysync.discord_api.gate import RequestLimiter
from raysync.discord_api.guilds import guild_from, member_from, read_channel, readable
from raysync.discord_api.people.identity import has_content_intent
from raysync.discord_api.people.pseudonyms import Identities
from raysync.discord_api.proxies import Proxies
from raysync.discord_api.routes import KnownRoutes
from raysync.discord_api.thread_lists import (
    NO_INDEX,
    AskThreads,
    archived_threads,
    searched_threads,
)
from raysync.discord_api.transport import Transport
from raysync.errors import (
    AccessDeniedError,
    GuildUnavailableError,
    NotFoundError,
    PayloadError,
    RetryableError,
    RouteMissingError,
    UnknownMessageError,
)
from raysync.models.entities import BotIdentity, BotMember, Channel, Guild, Message
from raysync.models.ids import ChannelId, GuildId, MessageId, UserId, latest_snowflake

REQUEST_TIMEOUT_S: Final = 30.0
_PAGES: Final = "GET /channels/{channel_id}/messages"
_UNKNOWN: Final = frozenset({10003, 10004, 10008})
"""Discord's codes where there is no such channel, guild or message."""
_INTENT_AGAIN_S: Final = 60.0
_LOOK_AGAIN_S: Final = 5.0


class DiscordClient:
    """Reads one token's guilds. Satisfies the engine's `GuildSource` and `HistorySource`.

    All it raises is of `raysync.errors`, and no call takes longer than four minutes.
    """

    def __init__(
        self,
        token: str,
        base_url: str,
        limiter: RequestLimiter,
        pseudonymizer: Identities,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        identity: BotIdentity | None = None,
        proxies: Proxies | None = None,
        known_routes: KnownRoutes | None = None,
    ) -> None:
        """*request_timeout_s* bounds the silence within one HTTP request.

        With *identity*, as another client of the token learned it, login asks nothing. *proxies*
        of None are those of this process's environment. *known_routes* is what other clients of
        the same run have found the API to lack.

        Raises:
            ConfigurationError: the address or the proxy's cannot be used.
        """
        self.known_routes = KnownRoutes() if known_routes is None else known_routes
        self._transport = Transport(
            token, base_url, limiter, self.known_routes, request_timeout_s, proxies
        )
        self._identities = pseudonymizer.at_api(base_url)
        self._limiter = limiter
        self._identity: BotIdentity | None = None
        self._known = identity
        self._has_content, self._intent_at_s = True, -math.inf
        self._is_reachable, self._looked_s = True, -math.inf
        self._looking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.login()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def proxies(self) -> Proxies:
        """The proxies that the client asks through, for whoever asks elsewhere for it."""
        return self._transport.proxies

    async def login(self) -> None:
        """Have Discord accept the token: two requests, or none where it is known whose it is.

        Again after success, it does nothing.

        Raises:
            TokenRejectedError: it is no token, or not a bot's.
        """
        if self._identity is None:
            self._identity = await self._transport.open(self._known)

    async def close(self) -> None:
        """Close all connections. A closed client may log in again."""
        self._identity = None
        await self._transport.close()

    async def identify(self) -> BotIdentity:
        """Say who the token is, as login learned it: no request."""
        if self._identity is None:
            await self.login()
        return self._bot

    async def fetch_guild(self, guild_id: GuildId) -> Guild:
        """The guild with its roles. Raises GuildUnavailableError where the bot is not in it."""
        return guild_from(await self._get_of_guild("/guilds/{guild_id}", guild_id), guild_id)

    async def fetch_member(self, guild_id: GuildId, user_id: UserId) -> BotMember:
        """A member of the guild. Raises GuildUnavailableError where the bot is not in it."""
        path = "/guilds/{guild_id}/members/{user_id}"
        return member_from(await self._get_of_guild(path, guild_id, user_id=user_id), user_id)

    async def list_channels(self, guild_id: GuildId) -> Sequence[Channel]:
        """All channels, of whatever type, those the bot may not see included; never threads."""
        payloads = _list(await self._get_of_guild("/guilds/{guild_id}/channels", guild_id))
        return [self._channel(each, guild_id) for each in payloads]

    async def list_active_threads(self, guild_id: GuildId) -> Sequence[Channel]:
        """All threads that are not archived and that the bot may see."""
        answer = await self._get_of_guild("/guilds/{guild_id}/threads/active", guild_id)
        return self._threads(_object(answer), guild_id)

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
            answer = _object(await self._get(path, params, channel_id=parent.id))
            return answer, self._threads(answer, parent.guild_id)

        return ask

    async def has_channel(self, channel_id: ChannelId) -> bool:
        """Whether the channel or thread exists, seen or not.

        Raises NotFoundError where a 404 has no code of Discord's for that: it may be a proxy's.
        """
        try:
            await self._get("/channels/{channel_id}", {}, channel_id=channel_id)
        except NotFoundError as error:
            if error.code not in _UNKNOWN:
                raise
            return False
        except AccessDeniedError:
            return True
        return True

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int, head_start_s: float = 0.0
    ) -> Sequence[Message]:
        """Up to *limit* messages above *after*: the oldest of them, in no promised order.

        A record that is not what Discord documents is a message with a `quarantine`. Of the
        requests that wait for the token, it goes as if it had come *head_start_s* ago.
        """
        path, params = "/channels/{channel_id}/messages", {"limit": str(limit), "after": str(after)}
        payloads = _list(await self._get(path, params, head_start_s, channel_id=channel_id))
        return [read_message(each, self._identities) for each in payloads]

    async def has_message(self, channel_id: ChannelId, message_id: MessageId) -> bool:
        """Whether the message is there. AccessDeniedError without the right to read it."""
        path = "/channels/{channel_id}/messages/{message_id}"
        try:
            await self._get(path, {}, channel_id=channel_id, message_id=message_id)
        except UnknownMessageError:
            return False
        return True

    async def is_reachable(self) -> bool:
        """Whether Discord answers anything at all; asked anew, but not more than every seconds."""
        async with self._looking:
            now_s = asyncio.get_running_loop().time()
            if now_s - self._looked_s > _LOOK_AGAIN_S:
                try:
                    await self._get("/users/@me", {})
                    self._is_reachable = True
                except RetryableError:
                    self._is_reachable = False
                self._looked_s = asyncio.get_running_loop().time()
            return self._is_reachable

    async def has_content_intent(self, *, anew: bool = False) -> bool:
        """Whether messages come with their content; unless *anew*, asked once a minute at most."""
        now_s = asyncio.get_running_loop().time()
        if anew or now_s - self._intent_at_s > _INTENT_AGAIN_S:
            with suppress(RouteMissingError):  # nobody can tell: pages tell by themselves
                self._has_content = await has_content_intent(self._transport.get)
            self._intent_at_s = now_s
        return self._has_content

    def pause_s(self, channel_id: ChannelId) -> float:
        """How long the channel's next page would wait for the channel's own limit."""
        return self._limiter.pause_s(_PAGES, str(channel_id))

    def return_s(self, channel_id: ChannelId, pages: float) -> float:
        """When to come back to the channel for so many pages, at no loss."""
        return self._limiter.return_s(_PAGES, str(channel_id), pages)

    def paged_ago_s(self, channel_id: ChannelId) -> tuple[float, ...]:
        """When pages of the channel were read, as far as they still count: seconds ago."""
        return self._limiter.ages_s(_PAGES, str(channel_id))

    def take_over(self, channel_id: ChannelId, paged_ago_s: Sequence[float]) -> None:
        """Go on with a channel where another worker read pages so many seconds ago."""
        self._limiter.restore(_PAGES, str(channel_id), paged_ago_s)

    def assume_exhausted(self, channel_id: ChannelId, ago_s: float) -> None:
        """Count the channel's limit as used up so long ago: by whom and how far is not known."""
        self._limiter.assume_exhausted(_PAGES, str(channel_id), ago_s)

    @property
    def _bot(self) -> BotIdentity:
        if self._identity is None:
            raise RuntimeError("the client is not logged in")
        return self._identity

    def _channel(
        self, payload: Any, guild_id: GuildId, joined: frozenset[str] = frozenset()
    ) -> Channel:
        latest = latest_snowflake(datetime.now(UTC))
        return read_channel(payload, guild_id, self._bot.user_id, self._identities, joined, latest)

    def _threads(self, answer: Payload, guild_id: GuildId) -> list[Channel]:
        bot_id, members = str(self._bot.user_id), answer.get("members")
        told = readable(members if isinstance(members, list) else [], mapping)
        joined = frozenset(str(each.get("id")) for each in told if each.get("user_id") == bot_id)
        threads = [] if answer.get("code") == NO_INDEX else _told(answer.get("threads"))
        return [self._channel(each, guild_id, joined) for each in threads]

    async def _get_of_guild(self, path: str, guild_id: GuildId, **ids: int) -> Any:
        try:
            return await self._get(path, {}, guild_id=guild_id, **ids)
        except (AccessDeniedError, NotFoundError) as error:
            raise GuildUnavailableError(
                f"The bot is not in the guild {guild_id}, or there is no such guild. ({error})"
            ) from None

    async def _get(
        self, path: str, params: dict[str, str], head_start_s: float = 0.0, **ids: Any
    ) -> Any:
        return await self.request("GET", path, params, head_start_s, **ids)

    async def request(
        self,
        method: str,
        path: str,
        params: dict[str, str],
        head_start_s: float = 0.0,
        json: Any = None,
        **ids: Any,
    ) -> Any:
        """The answer to one request, as parsed JSON. Raises the errors of `raysync.errors`."""
        return await self._transport.request(method, path, params, head_start_s, json, **ids)


def _list(answer: Any) -> list[Any]:
    """A list; Discord may say null for an empty one."""
    return [] if answer is None else _told(answer)


def _told(answer: Any) -> list[Any]:
    """A list that is there, for of one that is missing nobody knows what is not in it."""
    if not isinstance(answer, list):
        raise PayloadError("Discord answers with something that is not a list.")
    return answer


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise PayloadError("Discord answers with something that is not an object.")
    return answer
