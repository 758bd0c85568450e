"""Routes of requests, and which requests there are."""

from types import SimpleNamespace

import aiohttp
import pytest
from multidict import CIMultiDict
from yarl import URL

from raysync.discord_api.gate import Gate, Trip, route_of
from raysync.errors import RunStoppedError


@pytest.mark.parametrize(
    ("path", "route", "major_id"),
    [
        ("users/@me", "GET /users/@me", None),
        ("oauth2/applications/@me", "GET /oauth2/applications/@me", None),
        ("guilds/42", "GET /guilds/{guild_id}", "42"),
        ("guilds/42/members/7", "GET /guilds/{guild_id}/members/{user_id}", "42"),
        ("channels/5/messages", "GET /channels/{channel_id}/messages", "5"),
        ("channels/5/messages/6", "GET /channels/{channel_id}/messages/{message_id}", "5"),
        (
            "channels/5/messages/6/reactions/%F0%9F%91%8D",
            "GET /channels/{channel_id}/messages/{message_id}/reactions/{emoji}",
            "5",
        ),
        (
            "channels/5/users/@me/threads/archived/private",
            "GET /channels/{channel_id}/users/@me/threads/archived/private",
            "5",
        ),
        ("channels/5/threads/search", "GET /channels/{channel_id}/threads/search", "5"),
        ("tomorrow/9", "GET /tomorrow/{id}", None),
    ],
)
def test_a_route_is_the_path_with_its_parameters_named(path, route, major_id):
    assert route_of("GET", path) == (route, major_id)


class CountingLimiter:
    def __init__(self) -> None:
        self.entered: list[tuple[str, str | None]] = []

    async def enter(self, route: str, major_id: str | None, head_start_s: float = 0.0) -> None:
        self.entered.append((route, major_id))


async def start(base: str, url: str) -> list[tuple[str, str | None]]:
    """Begin a request as aiohttp does, with a URL that it has normalised."""
    limiter = CountingLimiter()
    (begin,) = Gate(base, limiter).trace_config().on_request_start  # type: ignore[arg-type]
    params = aiohttp.TraceRequestStartParams("GET", URL(url), CIMultiDict())
    context = SimpleNamespace(trace_request_ctx=Trip())
    await begin(None, context, params)  # type: ignore[arg-type, call-arg]
    return limiter.entered


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://LocalHost:8806/api/v10", "http://localhost:8806/api/v10/channels/5"),
        ("http://localhost:80/api/v10/", "http://localhost/api/v10/channels/5"),
        ("http://localhost/api/v10", "http://LOCALHOST:80/api/v10/channels/5?limit=1"),
        ("https://discord.com.:443//api/v10", "https://discord.com/api/v10/channels/5"),
        ("http://[0::1]:9/", "http://[::1]:9/channels/5"),
        ("http://bücher.example/a", "http://xn--bcher-kva.example/a/channels/5"),
        ("http://h/%61/x/..", "http://h/a/channels/5"),
    ],
)
async def test_a_request_is_recognised_however_the_address_is_spelled(base: str, url: str) -> None:
    assert await start(base, url) == [("GET /channels/{channel_id}", "5")]


@pytest.mark.parametrize(
    "url",
    [
        "http://h/api/v1/channels/5",
        "http://h/api/v100/channels/5",
        "http://h/api/v10",
        "http://h/api/channels/5",
        "http://h/channels/5",
        "http://h/api/v10/../channels/5",
        "http://h//api/v10/channels/5",
        "http://h/API/v10/channels/5",
        "https://h/api/v10/channels/5",
        "http://h:8080/api/v10/channels/5",
        "http://h./api/v10/channels/5",
        "http://h.evil/api/v10/channels/5",
        "http://evil/http://h/api/v10/channels/5",
        "http://h@evil/api/v10/channels/5",
        "https://cdn.discordapp.com/attachments/1/2/x.png",
    ],
)
async def test_what_is_not_recognised_is_not_sent(url: str) -> None:
    with pytest.raises(RunStoppedError, match="was not sent"):
        await start("http://h/api/v10", url)
