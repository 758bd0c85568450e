"""The one place every request passes, discord.py's own repeats included: an aiohttp trace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Protocol

import aiohttp

_ID = re.compile(r"^\d{15,20}$")
_API = "/api/"


class RequestLimiter(Protocol):
    """Holds requests back; `raysync.ratelimit.limiter.WorkerLimiter` by shape."""

    async def enter(self, route: str, major: str) -> None: ...

    def leave(
        self, route: str, major: str, status: int | None, headers: Mapping[str, str]
    ) -> None: ...


def gate_for(limiter: RequestLimiter) -> aiohttp.TraceConfig:
    """A trace that lets each HTTP request to the API pass *limiter* first.

    An error that the limiter raises reaches the caller, so nothing leaves without a permit.
    """

    async def start(
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        context.route = None
        if not params.url.path.startswith(_API):
            return
        route, major = route_of(params.method, params.url.path)
        await limiter.enter(route, major)
        context.route, context.major = route, major

    async def end(
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        if context.route is not None:
            response = params.response
            limiter.leave(context.route, context.major, response.status, response.headers)

    async def fail(
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceRequestExceptionParams,
    ) -> None:
        if context.route is not None:
            limiter.leave(context.route, context.major, None, {})

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(start)
    trace.on_request_end.append(end)
    trace.on_request_exception.append(fail)
    return trace


def route_of(method: str, path: str) -> tuple[str, str]:
    """The route's template and its major parameter: what Discord's buckets are keyed by."""
    parts = path.partition(_API)[2].split("/")[1:]  # without the version
    major = parts[1] if len(parts) > 1 and _ID.match(parts[1]) else ""
    names = {"channels": "channel_id", "guilds": "guild_id", "webhooks": "webhook_id"}
    template = [
        "{" + names.get(parts[number - 1], "id") + "}" if number and _ID.match(part) else part
        for number, part in enumerate(parts)
    ]
    if "reactions" in template:
        emoji = template.index("reactions") + 1
        template[emoji:] = ["{emoji}"]
    return f"{method} /{'/'.join(template)}", major
