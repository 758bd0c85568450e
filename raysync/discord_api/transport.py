"""discord.py's HTTP client behind our guards, for every request, also those of its login.

discord.py stays in charge of its own failures: it retries a 429 and some 5xx. But its buckets are
bypassed. They know nothing of other processes, withhold a page that has already arrived until the
bucket refills (4.9 s for each fifth page), and scan all channels for each new one. The gate in
front of every HTTP request replaces them, and sees discord.py's retries, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from json import JSONDecodeError
from typing import Any, Final, Self

import aiohttp
import discord
from discord.http import Ratelimit, Route

from raysync.discord_api.address import normalized
from raysync.discord_api.answers import bounded, failure_of, is_success, value_in, value_of
from raysync.discord_api.errors import translated
from raysync.discord_api.gate import Gate, RequestLimiter, Trip
from raysync.discord_api.people.identity import identity_of
from raysync.discord_api.proxies import Proxies, proxies_here
from raysync.discord_api.routes import KnownRoutes
from raysync.errors import ConfigurationError
from raysync.models.entities import BotIdentity

_WHOLE_CALL_S: Final = 240.0
"""Timeout of a call with its waits and retries, in seconds; below aiohttp's own 300 s."""
_CONNECT_S: Final = 15.0
_LONGEST_PAUSE_S: Final = 30.0
"""Longest pause that discord.py waits, in seconds, and the least it can be configured to.

A longer pause is raised as an error with its length."""
_UNPARSED: Final = (
    aiohttp.ClientError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors of discord.py, aiohttp and orjson for a body or a connection."""


class _OpenBucket(Ratelimit):
    """A bucket without a limit: the gate limits."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def update(self, *_: object, **__: object) -> None:
        """Do nothing."""


class Transport:
    """Sends one token's requests to one API. Every error is one of `raysync.errors`.

    A process has one base URL, since discord.py keeps it in a class.
    """

    def __init__(
        self,
        token: str,
        base_url: str,
        limiter: RequestLimiter,
        known_routes: KnownRoutes,
        request_timeout_s: float,
        identity: BotIdentity | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        """Connect nothing yet; `login` does.

        *request_timeout_s* bounds the silence within one HTTP request. With *identity*, login sends
        no request. *proxies* of None are those of this process's environment.

        Raises:
            ConfigurationError: the address or the proxy's cannot be used.
        """
        try:
            self.base_url = normalized(base_url)
        except ValueError as error:
            raise ConfigurationError(f"The address of Discord's API {error}.") from None
        self._token = token
        self.proxies = proxies_here() if proxies is None else proxies
        self._proxy = self.proxies.way_to(self.base_url)
        self._gate = Gate(self.base_url, limiter)
        self._known_routes = known_routes
        self._known_identity = identity
        self._identity: BotIdentity | None = None
        self._guards: dict[str, Any] = {
            "allow_redirects": False,  # the token goes to no other host
            "middlewares": (bounded,),
            "timeout": aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_S, sock_read=request_timeout_s
            ),
        }
        if self._proxy is not None:
            self._guards["proxy"] = self._proxy.url
        self._discord: discord.Client | None = None

    @property
    def bot(self) -> BotIdentity:
        """The identity of the token's bot, which login learned."""
        if self._identity is None:
            raise RuntimeError("the client is not logged in")
        return self._identity

    @property
    def user_agent(self) -> str:
        """The name by which discord.py introduces itself."""
        if self._discord is None:
            raise RuntimeError("the client is not logged in")
        return self._discord.http.user_agent

    async def login(self) -> BotIdentity:
        """Have Discord accept the token; once logged in, do nothing. See `DiscordClient.login`."""
        if self._identity is None:
            self._identity = await self._open()
        return self._identity

    async def _open(self) -> BotIdentity:
        await self.close()
        client = self._discord = self._new_client()
        try:
            with translated("login", self.base_url, self._proxy):
                async with asyncio.timeout(_WHOLE_CALL_S):
                    return await self._log_in(client, self._known_identity)
        except BaseException:
            await self.close()
            raise

    async def _log_in(self, client: discord.Client, known: BotIdentity | None) -> BotIdentity:
        if known is None:
            user = await client.http.static_login(self._token.strip())
            return await identity_of(user, self.get)
        ask = client.http.request

        async def nothing(*_: object, **__: object) -> dict[str, Any]:
            return {}

        # this opens the session and requests the identity, which is known
        client.http.request = nothing  # type: ignore[method-assign]
        await client.http.static_login(self._token)
        client.http.request = ask  # type: ignore[method-assign]
        return known

    def _new_client(self) -> discord.Client:
        Route.BASE = self.base_url
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        client = discord.Client(
            # without intents it warns; they have no effect without a gateway
            intents=discord.Intents(guilds=True),
            max_messages=None,
            http_trace=self._gate.trace_config(),
            max_ratelimit_timeout=_LONGEST_PAUSE_S,
        )
        bucket = _OpenBucket(None)

        def open_bucket(key: str) -> Ratelimit:  # noqa: ARG001 the same for every key
            return bucket

        client.http.get_ratelimit = open_bucket  # type: ignore[method-assign] # made to be replaced
        # every request passes it, also those that discord.py makes by itself
        client.http.request = partial(self._guarded, client.http.request)  # type: ignore[method-assign]
        return client

    async def _guarded(self, ask: Callable[..., Awaitable[Any]], route: Route, **given: Any) -> Any:
        """Send a request and return its JSON; the status of a failure decides its error."""
        trip: Trip = given.setdefault("trace_request_ctx", Trip())
        try:
            return await self._asked(ask, route, trip, given)
        finally:  # breaks a reference cycle, so that the body is freed at once
            trip.response = None

    async def _asked(
        self, ask: Callable[..., Awaitable[Any]], route: Route, trip: Trip, given: dict[str, Any]
    ) -> Any:
        try:
            found = await ask(route, **self._guards, **given)
        except discord.RateLimited:
            raise
        except (discord.HTTPException, *_UNPARSED) as error:
            response = trip.response
            if response is None:  # the connection failed, or the gate let nothing pass
                raise
            if is_success(response) and isinstance(error, JSONDecodeError | UnicodeDecodeError):
                return value_in(error, response)
            if is_success(response) or _is_refusal(error):
                raise
            raise await failure_of(response) from None
        return found if trip.response is None else value_of(trip.response, found)

    async def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        head_start_s: float = 0.0,
        json: Any = None,
        **ids: Any,
    ) -> Any:
        """Return the answer to one request, as parsed JSON.

        Among the requests that wait for a permit, it goes as if it had come *head_start_s* ago.
        """
        if self._discord is None:
            raise RuntimeError("the client is not logged in")
        http, what = self._discord.http, f"{method} {path}"
        given: dict[str, Any] = {"params": params or {}, "trace_request_ctx": Trip(head_start_s)}
        given |= {} if json is None else {"json": json}
        async with self._known_routes.asking(what):
            with translated(what, self.base_url, self._proxy):
                async with asyncio.timeout(_WHOLE_CALL_S):
                    return await http.request(Route(method, path, **ids), **given)

    async def get(self, path: str, params: Mapping[str, str] | None = None, **ids: Any) -> Any:
        """Return the answer to a GET, as `request` does."""
        return await self.request("GET", path, params, **ids)

    async def close(self) -> None:
        """Close all connections. A closed transport may log in again."""
        self._identity = None
        client, self._discord = self._discord, None
        if client is not None:
            await client.close()


def _is_refusal(error: Exception) -> bool:
    """Return whether discord.py itself has read a 429."""
    return isinstance(error, discord.HTTPException) and error.status == 429
