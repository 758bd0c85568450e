"""A client behind a forward proxy: what the proxy is asked, and what is told where it fails."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from raysync.discord_api.attachments import AttachmentSource
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import Pseudonymizer
from raysync.emulator import (
    Action,
    Emulator,
    FaultRule,
    GuildSpec,
    Limits,
    World,
    generate_guild,
    serve,
)
from raysync.emulator.world.cdn import attachment_bytes
from raysync.errors import ConfigurationError, RaysyncError, RetryableError
from tests.emulator.adapter import KEY, OpenLimiter, before_emulator
from tests.forward_proxy import ForwardProxy, forward_proxy

API = "http://discord.test/api/v10"
"""A name that only the proxy knows."""


@pytest.fixture
def world():
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot("token", permissions=8)
    return world


@pytest.fixture(autouse=True)
def environ(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


def client_at(address: str, limiter: OpenLimiter) -> DiscordClient:
    return DiscordClient("token", address, limiter, Pseudonymizer(KEY))


@asynccontextmanager
async def behind_proxy(
    world: World, *faults: FaultRule, **options: object
) -> AsyncIterator[tuple[Emulator, ForwardProxy]]:
    """An emulator that is reached as `API` alone, through a proxy."""
    async with serve(world, limits=Limits.off(), faults=faults) as emulator:
        parts = urlsplit(emulator.url)
        here = (str(parts.hostname), int(parts.port or 0))
        async with forward_proxy({"discord.test": here, parts.netloc: here}, **options) as proxy:
            yield emulator, proxy


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_everything_is_asked_through_the_proxy(world, environ, variable):
    (guild,) = world.guilds.values()
    channel = next(each for each in guild.channels.values() if each.log.ids)
    failing = [FaultRule(Action.ANSWER, path="/messages", status=503, nth=(1,))]
    failing += [FaultRule(Action.SHARED, path="/messages", retry_after_s=0.01, nth=(1,))]
    limiter = OpenLimiter()
    async with behind_proxy(world, *failing) as (emulator, proxy):
        environ.setenv(variable, proxy.url)
        async with client_at(API, limiter) as client:
            with pytest.raises(RetryableError):
                await client.history.fetch_after(channel.id, 0, 100)
            page = await client.history.fetch_after(channel.id, 0, 100)

        assert sorted(each.id for each in page) == list(channel.log.ids[:100])
        asked = [f"GET {API}{entry.path}" for entry in emulator.log.entries]
        assert proxy.asked == asked
        assert limiter.sent == sum(limiter.ended.values()) == len(asked) == 5
        assert limiter.under_way == 0


async def test_a_proxy_gets_its_password_and_discord_does_not(world, environ):
    async with behind_proxy(world, wants_password=True) as (emulator, proxy):
        environ.setenv("HTTP_PROXY", proxy.url_with_password)
        async with client_at(API, OpenLimiter()) as client:
            assert await client.guilds.list_channels(next(iter(world.guilds)))

        assert emulator.counters.by_status == {200: 3}


@pytest.mark.parametrize("api", [API, "https://discord.test/api/v10"])
async def test_a_proxy_that_wants_a_password_is_told_by_its_variable(world, environ, api):
    limiter = OpenLimiter()
    async with behind_proxy(world, wants_password=True) as (emulator, proxy):
        environ.setenv("ALL_PROXY", f"http://me:wrong-one@127.0.0.1:{proxy.port}")
        with pytest.raises(ConfigurationError) as caught:
            async with client_at(api, limiter):
                pass

        assert emulator.counters.requests == 0
        assert len(proxy.asked) == 1
    assert str(caught.value) == (
        f"login: the proxy {proxy.url} (ALL_PROXY) answers 407: it requires a user and a password, "
        "or other ones. Set them in ALL_PROXY, as in http://USER:PASSWORD@HOST:PORT."
    )
    assert limiter.under_way == 0
    assert set(limiter.ended) == {("GET /users/@me", None)}, "Discord has answered nothing"


@pytest.mark.parametrize(
    ("refusal", "expected", "told"),
    [
        (b"502 Bad Gateway", RetryableError, "answers 502: it does not reach the host."),
        (b"504 Gateway Timeout", RetryableError, "answers 504: it does not reach the host."),
        (b"403 Forbidden", ConfigurationError, "answers 403: it does not let the request pass."),
        (b"405 Not Allowed", ConfigurationError, "answers 405: it does not let the request pass."),
    ],
)
async def test_a_proxy_that_builds_no_tunnel_is_told(world, environ, refusal, expected, told):
    limiter = OpenLimiter()
    async with behind_proxy(world, refusal=refusal) as (_, proxy):
        environ.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(expected) as caught:
            async with client_at("https://discord.test/api/v10", limiter):
                pass

        assert proxy.asked == ["CONNECT discord.test:443"]
    assert f"the proxy {proxy.url} (HTTPS_PROXY) {told}" in str(caught.value)
    assert "NO_PROXY" in str(caught.value)
    assert (limiter.under_way, limiter.sent) == (0, 0), "nothing was sent to Discord"


async def test_an_answer_that_may_be_the_proxys_own_is_told_with_the_proxy(world, environ):
    async with behind_proxy(world, refusal=b"503 Service Unavailable") as (_, proxy):
        environ.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(RetryableError) as caught:
            async with client_at(API, OpenLimiter()):
                pass

    told = f"login: Discord answers 503 (through the proxy {proxy.url} of HTTP_PROXY)."
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("address", "reason"),
    [("127.0.0.1:1", "connection refused"), ("proxy.invalid:3128", "name not known")],
)
@pytest.mark.parametrize("api", [API, "https://discord.test/api/v10"])
async def test_a_proxy_out_of_reach_is_told_by_its_variable(environ, api, address, reason):
    environ.setenv("all_proxy", address)
    with pytest.raises(RetryableError) as caught:
        async with client_at(api, OpenLimiter()):
            pass

    assert str(caught.value).startswith(
        f"login: cannot reach the proxy http://{address} ({reason}), which all_proxy names."
    )


async def test_a_host_that_is_exempt_is_asked_directly(world, environ):
    environ.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    environ.setenv("NO_PROXY", "127.0.0.1")
    async with before_emulator(world) as setting:
        assert await setting.client.guilds.list_channels(setting.guild.id)


async def test_a_netrc_is_not_in_the_tokens_way(world, environ, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password hunter2\n")
    environ.setenv("NETRC", str(netrc))
    async with behind_proxy(world) as (_, proxy):
        environ.setenv("HTTP_PROXY", proxy.url)
        async with client_at(API, OpenLimiter()) as client:
            assert await client.guilds.list_channels(next(iter(world.guilds)))


@pytest.mark.parametrize("value", ["socks5://proxy:1080", "http://"])
async def test_a_proxy_that_cannot_be_used_is_told_before_anything_is_asked(environ, value):
    environ.setenv("HTTP_PROXY", value)
    with pytest.raises(ConfigurationError, match="Set HTTP_PROXY to http://HOST:PORT"):
        client_at(API, OpenLimiter())


class TestAttachments:
    """Files come from the CDN, which is another host."""

    @staticmethod
    def file(emulator: Emulator) -> SimpleNamespace:
        """Of a message that has one: what the engine asks for, and where it is."""
        found = next(
            each
            for guild in emulator.world.guilds.values()
            for channel in guild.every_channel()
            for message_id in channel.log.ids
            for each in emulator.world.message(channel, message_id)["attachments"]
        )
        url = emulator.world.cdn.sign(
            found["url"].partition("?")[0].removeprefix(emulator.origin + "/"),
            emulator.world.clock.now_ms() // 1000,
        )
        size = int(found["size"])
        return SimpleNamespace(
            url=url, size=size, content_type=found.get("content_type"), id=int(found["id"])
        )

    async def test_they_are_loaded_through_the_proxy(self, environ):
        world = World(generate_guild(GuildSpec.lively(500), 3))
        world.add_bot("token", permissions=8)
        async with behind_proxy(world, wants_password=True) as (emulator, proxy):
            environ.setenv("HTTP_PROXY", proxy.url_with_password)
            file = self.file(emulator)
            source = AttachmentSource(client_at(API, OpenLimiter()).transport)
            loaded = b"".join([chunk async for chunk in source.download(file.url, file, 0)])
            await source.close()

            assert (
                hashlib.sha256(loaded).digest()
                == hashlib.sha256(attachment_bytes(file.id, file.size)).digest()
            )
            assert proxy.asked == [f"GET {file.url}"]

    @pytest.mark.parametrize(
        ("options", "expected", "told"),
        [
            ({"wants_password": True}, ConfigurationError, "(HTTP_PROXY) answers 407"),
            (None, RetryableError, "which HTTP_PROXY names"),
        ],
    )
    async def test_a_proxy_that_fails_is_told(self, environ, options, expected, told):
        world = World(generate_guild(GuildSpec.lively(500), 3))
        async with behind_proxy(world, **(options or {})) as (emulator, proxy):
            environ.setenv("HTTP_PROXY", "127.0.0.1:1" if options is None else proxy.url)
            file = self.file(emulator)
            source = AttachmentSource(client_at(API, OpenLimiter()).transport)
            with pytest.raises(RaysyncError) as caught:
                [chunk async for chunk in source.download(file.url, file, 0)]
            await source.close()

        assert isinstance(caught.value, expected)
        assert told in str(caught.value)
