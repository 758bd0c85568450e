"""The gate that holds every HTTP request to Discord back, also discord.py's own retries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final, Protocol

import aiohttp
from yarl import URL

from raysync.discord_api.address import host_of, normalized
from raysync.discord_api.common_cause import CommonCause
from raysync.discord_api.refusal import read_refused
from raysync.errors import RunStoppedError

_PARAMETERS: Final[Mapping[str, str]] = {
    "channels": "{channel_id}",
    "guilds": "{guild_id}",
    "members": "{user_id}",
    "messages": "{message_id}",
    "reactions": "{emoji}",
    "answers": "{answer_id}",
    "users": "{user_id}",
}
_MAJOR: Final = frozenset({"channels", "guilds", "webhooks"})
PROXY_WANTS_PASSWORD: Final = 407


class AdmittedRequest(Protocol):
    """One request that may be sent."""

    def sent(self) -> None:
        """Record that the request is being sent."""
        ...

    def finish(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Record how the request ended; *status* is None without an answer.

        The headers of a 429 are those of `Refusal.headers`.
        """
        ...


class RequestLimiter(Protocol):
    """The limiter that decides when a request may be sent."""

    async def enter(
        self, route: str, major_id: str | None, head_start_s: float = 0.0
    ) -> AdmittedRequest:
        """Wait until a request of *route* may be sent. Errors reach the caller."""
        ...


def route_of(method: str, path: str) -> tuple[str, str | None]:
    """Return a request's route as Discord documents it, and its major parameter.

    *path* follows the API's base. Ids in it become the names of their parameters.
    """
    before, parts, major_id = "", [], None
    for part in path.strip("/").split("/"):
        is_parameter = part.isdigit() or before == "reactions"
        if is_parameter and major_id is None and before in _MAJOR:
            major_id = part
        parts.append(_PARAMETERS.get(before, "{id}") if is_parameter else part)
        before = part
    return f"{method} /{'/'.join(parts)}", major_id


@dataclass(slots=True)
class Trip:
    """One call of discord.py's client: aiohttp's `trace_request_ctx` of all its requests."""

    head_start_s: float = 0.0
    response: aiohttp.ClientResponse | None = None  #: of the last request; None without an answer


class Gate:
    """Makes aiohttp wait for a limiter before each request to the API, and report the answer.

    A session behind the gate reaches nothing else. A request to another address is not sent, for
    it would count against the token without being limited.
    """

    def __init__(self, base_url: str, limiter: RequestLimiter) -> None:
        self._base = URL(normalized(base_url))
        self._limiter = limiter
        self._common = CommonCause()

    def _path_of(self, url: URL) -> str:
        """Return the path of *url* below the API's base. Raises where *url* is not below it."""
        base, path = self._base, url.raw_path
        prefix = base.raw_path.rstrip("/") + "/"
        is_there = (url.scheme, url.raw_host, url.port) == (base.scheme, base.raw_host, base.port)
        if not is_there or not path.startswith(prefix):
            raise RunStoppedError(
                f"A request to {host_of(str(url))} was not sent: it does not go to the API at "
                f"{self._base}, so the rate limiter would not count it. This is a bug: please "
                "report it."
            )
        return path.removeprefix(prefix)

    def trace_config(self) -> aiohttp.TraceConfig:
        """Return the trace config that sends an aiohttp session through the gate."""
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._start)
        config.on_request_headers_sent.append(self._sent)
        config.on_request_end.append(self._end)
        config.on_request_exception.append(self._lost)
        return config

    async def _start(
        self,
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        trip = _trip_of(context)
        trip.response = None
        route, major_id = route_of(params.method, self._path_of(params.url))
        self._common.require()
        context.admitted = await self._limiter.enter(route, major_id, trip.head_start_s)
        context.asked = (route, major_id)

    async def _sent(
        self,
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        admitted: AdmittedRequest | None = getattr(context, "admitted", None)
        if admitted is not None:
            admitted.sent()

    async def _end(
        self,
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        response = _trip_of(context).response = params.response
        if response.status == PROXY_WANTS_PASSWORD:  # the request did not reach Discord
            _finish(context, None, {})
            return
        asked: tuple[str, str | None] = context.asked
        refused = await read_refused(response) if response.status == 429 else None
        _finish(context, response.status, refused.headers if refused else response.headers)
        self._common.note(*asked, response.status, refused.refusal if refused else None)
        self._common.require()
        if refused:
            refused.require_repeat(asked[0])

    async def _lost(
        self,
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceRequestExceptionParams,
    ) -> None:
        _finish(context, None, {})


def _trip_of(context: SimpleNamespace) -> Trip:
    """Return the trip that the caller gave to the request."""
    trip = context.trace_request_ctx
    return trip if isinstance(trip, Trip) else Trip()


def _finish(context: SimpleNamespace, status: int | None, headers: Mapping[str, str]) -> None:
    admitted: AdmittedRequest | None = context.__dict__.pop("admitted", None)
    if admitted is not None:
        admitted.finish(status, headers)
