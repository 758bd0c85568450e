"""Downloads from a CDN that answers oddly: bounded, and never anything but the file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from raysync.discord_api import attachments
from raysync.discord_api.attachments import AttachmentSource
from raysync.emulator import Action, FaultRule, GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.world.cdn import attachment_bytes
from raysync.errors import (
    AttachmentBrokenError,
    AttachmentGoneError,
    RaysyncError,
    RetryableError,
)
from tests.emulator.adapter import before_emulator

BOMB = {"pad_bytes": 1 << 26, "encodings": ("gzip",)}


@dataclass
class Download:
    """One attachment of the world, and where it is downloaded from."""

    source: AttachmentSource
    url: str
    id: int
    size: int
    content_type: str | None

    async def load(self, start: int = 0) -> bytes:
        """The file from *start* on."""
        return b"".join([chunk async for chunk in self.source.download(self.url, self, start)])

    @property
    def content(self) -> bytes:
        return attachment_bytes(self.id, self.size)


@asynccontextmanager
async def attachment(*faults: FaultRule) -> AsyncIterator[Download]:
    world = World(generate_guild(GuildSpec.lively(500), 3))
    world.add_bot("token", permissions=8)
    async with before_emulator(world, faults=faults) as setting:
        file = next(
            each
            for channel in setting.guild.every_channel()
            for message_id in channel.log.ids
            for each in world.message(channel, message_id)["attachments"]
        )
        path = file["url"].partition("?")[0].removeprefix(f"{setting.emulator.origin}/")
        url = world.cdn.sign(path, world.clock.now_ms() // 1000)
        source = AttachmentSource(setting.client.transport)
        yield Download(source, url, int(file["id"]), int(file["size"]), file.get("content_type"))
        await source.close()


def rule(action: Action = Action.PASS, **more) -> FaultRule:
    return FaultRule(action, cdn=True, **more)


@pytest.mark.parametrize("encodings", [("gzip",), ("deflate",)])
async def test_a_file_that_comes_encoded_after_all_is_the_file(encodings):
    async with attachment(rule(encodings=encodings)) as file:
        assert await file.load() == file.content


async def test_the_rest_of_an_encoded_file_is_not_the_rest_of_the_file():
    async with attachment(rule(encodings=("gzip",))) as file:
        with pytest.raises(AttachmentBrokenError):
            await file.load(start=10)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (rule(**BOMB), AttachmentBrokenError),
        (rule(encodings=("gzip", "gzip")), AttachmentBrokenError),
        (rule(Action.ANSWER, status=404, **BOMB), AttachmentGoneError),
        (rule(Action.ANSWER, status=503, **BOMB), RetryableError),
        (rule(Action.ANSWER, status=400, **BOMB), AttachmentBrokenError),
        (rule(headers={"content-encoding": "br"}), RetryableError),
        (rule(headers={"x": "x" * 20_000}), RetryableError),
    ],
)
async def test_whatever_comes_is_read_up_to_a_size(fault, expected):
    async with attachment(fault) as file:
        async with asyncio.timeout(20):
            with pytest.raises(RaysyncError) as caught:
                await file.load()

    assert isinstance(caught.value, expected)


@pytest.mark.parametrize("url", ["", "x", "http://", "http://[]@/", "http://h:x/", "file:///x"])
async def test_an_address_that_is_none_is_told(url):
    async with attachment() as file:
        file.url = url
        with pytest.raises(RetryableError):
            await file.load()


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_a_redirect_is_not_followed(status):
    other = World(generate_guild(GuildSpec.tiny()))
    async with serve(other, limits=Limits.off()) as elsewhere:
        to = rule(Action.REDIRECT, status=status, location=elsewhere.origin)
        async with attachment(to) as file:
            with pytest.raises(AttachmentBrokenError, match=f"answers {status}"):
                await file.load()

        assert elsewhere.counters.requests == 0


async def test_a_file_that_comes_drop_by_drop_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(attachments, "_MIN_DOWNLOAD_S", 0.1)
    monkeypatch.setattr(attachments, "_SLOWEST_BYTES_PER_S", 1 << 30)
    async with attachment(rule(Action.DRIP, keep_bytes=1, delay_s=0.02)) as file:
        async with asyncio.timeout(20):
            with pytest.raises(AttachmentBrokenError, match="too slowly"):
                await file.load()
