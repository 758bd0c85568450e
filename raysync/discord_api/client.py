"""The client of one bot: its login, and the readers of guilds and of messages."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from raysync.discord_api.gate import RequestLimiter
from raysync.discord_api.gateway import Gateway
from raysync.discord_api.guild_reader import GuildReader
from raysync.discord_api.history_reader import HistoryReader
from raysync.discord_api.people.pseudonyms import Identities
from raysync.discord_api.proxies import Proxies
from raysync.discord_api.routes import KnownRoutes
from raysync.discord_api.transport import Transport
from raysync.models.entities import BotIdentity

REQUEST_TIMEOUT_S: Final = 30.0


class DiscordClient:
    """One token's access to Discord's API.

    Every error is one of `raysync.errors`, and no call takes longer than four minutes.
    """

    def __init__(
        self,
        token: str,
        base_url: str,
        limiter: RequestLimiter,
        identities: Identities,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        identity: BotIdentity | None = None,
        proxies: Proxies | None = None,
        known_routes: KnownRoutes | None = None,
    ) -> None:
        """Connect nothing yet; `login` does.

        *request_timeout_s* bounds the silence within one HTTP request. With *identity*, as another
        client of the token learned it, login sends no request. *proxies* of None are those of this
        process's environment. *known_routes* are the routes that other clients of the same run
        found to be missing from the API.

        Raises:
            ConfigurationError: the address or the proxy's cannot be used.
        """
        self.known_routes = KnownRoutes() if known_routes is None else known_routes
        self.transport = Transport(
            token, base_url, limiter, self.known_routes, request_timeout_s, identity, proxies
        )
        people = identities.at_api(base_url)
        self.guilds = GuildReader(self.transport, people)
        self.history = HistoryReader(self.transport, people)
        self.gateway = Gateway(self.transport, token)

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

    async def login(self) -> BotIdentity:
        """Have Discord accept the token, and return the bot's identity.

        It takes two requests, or none where the identity is known. Once logged in, it does nothing.

        Raises:
            TokenRejectedError: it is no token, or not a bot's.
        """
        return await self.transport.login()

    async def close(self) -> None:
        """Close all connections. A closed client may log in again."""
        await self.transport.close()
