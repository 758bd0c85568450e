"""The emulator's gateway, by discord.py's own client and by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import discord
import orjson
import pytest

from raysync.emulator import GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.gateway.faults import DeliveryFault, GatewayRule
from raysync.emulator.gateway.protocol import Op
from raysync.emulator.world.permissions import Permission

pytestmark = pytest.mark.emulator

TOKEN = "token"
INTENTS = 1 | 1 << 9 | 1 << 10 | 1 << 15 | 1 << 24
IDENTIFY = {"token": TOKEN, "intents": INTENTS, "properties": {"os": "linux"}}


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def world() -> World:
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot(TOKEN)
    return world


@pytest.fixture
async def emulator(world):
    async with serve(world, limits=Limits.off()) as emulator:
        yield emulator


class Raw:
    """A client by hand."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    async def send(self, op: int, data: Any) -> None:
        await self.socket.send_str(orjson.dumps({"op": op, "d": data}).decode())

    async def next(self) -> dict[str, Any]:
        message = await self.socket.receive(timeout=5)
        assert message.type is aiohttp.WSMsgType.TEXT, (message.type, self.socket.close_code)
        frame: dict[str, Any] = orjson.loads(message.data)
        if frame["op"] == Op.DISPATCH:
            self.events.append(frame)
        return frame

    async def until(self, name: str) -> dict[str, Any]:
        while (frame := await self.next())["t"] != name:
            pass
        return frame

    async def closed(self) -> int | None:
        while True:
            message = await self.socket.receive(timeout=5)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                return self.socket.close_code

    async def session(self, **changes: Any) -> str:
        await self.send(Op.IDENTIFY, IDENTIFY | changes)
        ready = await self.until("READY")
        return str(ready["d"]["session_id"])


@asynccontextmanager
async def connected(emulator, path: str = "/gateway/ws?v=10&encoding=json") -> AsyncIterator[Raw]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(emulator.origin + path) as socket,
    ):
        raw = Raw(socket)
        hello = await raw.next()
        assert hello["op"] == Op.HELLO
        assert hello["d"]["heartbeat_interval"] == 41_250
        yield raw
        await socket.close(code=4000)  # the session stays


def text_channel(world: World):
    (guild,) = world.guilds.values()
    return next(one for one in guild.channels.values() if one.type == 0 and one.log.ids)


# discord.py ---------------------------------------------------------------------------------


@pytest.fixture(params=["zlib-stream", "zstd-stream"])
async def client(request, emulator, monkeypatch):
    contexts = discord.utils
    kind = {
        "zlib-stream": "_ZlibDecompressionContext",
        "zstd-stream": "_ZstdDecompressionContext",
    }[request.param]
    if not hasattr(contexts, kind):  # made only where the other one is missing
        monkeypatch.setattr(contexts, kind, _zlib_context(), raising=False)
    monkeypatch.setattr(contexts, "_ActiveDecompressionContext", getattr(contexts, kind))
    monkeypatch.setattr(discord.http.Route, "BASE", emulator.url)
    monkeypatch.setattr(
        discord.gateway.DiscordWebSocket,
        "DEFAULT_GATEWAY",
        discord.gateway.yarl.URL(emulator.gateway.origin + "/gateway/ws"),
    )
    intents = discord.Intents._from_value(INTENTS)
    client = Listening(intents=intents, max_messages=1_000)
    running = asyncio.create_task(client.start(TOKEN))
    await until(client.is_ready)
    yield client
    await client.close()
    await asyncio.gather(running, return_exceptions=True)
    for thread in threading.enumerate():
        if thread.name.startswith("keep-alive-handler"):
            await asyncio.to_thread(thread.join)


def _zlib_context() -> type:
    import zlib

    class Context:
        COMPRESSION_TYPE = "zlib-stream"

        def __init__(self) -> None:
            self.context, self.buffer = zlib.decompressobj(), bytearray()

        def decompress(self, data: bytes, /) -> str | None:
            self.buffer.extend(data)
            if len(data) < 4 or data[-4:] != b"\x00\x00\xff\xff":
                return None
            text = self.context.decompress(self.buffer).decode("utf-8")
            self.buffer = bytearray()
            return text

    return Context


class Listening(discord.Client):
    """A bot that keeps what it hears."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.heard: list[str] = []
        self.messages: list[discord.Message] = []

    async def on_socket_event_type(self, name: str) -> None:
        self.heard.append(name)

    async def on_message(self, message: discord.Message) -> None:
        self.messages.append(message)


async def test_discord_py_knows_the_guild_and_hears_messages(client, emulator, world) -> None:
    (guild,) = client.guilds
    (truth,) = world.guilds.values()
    channel = text_channel(world)

    emulator.edits.post_message(channel.id, "to be heard")
    await until(lambda: bool(client.messages))

    assert guild.id == truth.id
    assert {one.id for one in guild.channels} == set(truth.channels)
    assert client.messages[0].content == "to be heard"
    assert client.messages[0].channel.id == channel.id
    assert client.heard[:2] == ["READY", "GUILD_CREATE"]


async def test_discord_py_resumes_after_a_reset_and_opcode_7(client, emulator, world) -> None:
    channel = text_channel(world)
    for cut in (emulator.gateway.reset_sockets, emulator.gateway.reconnect_all):
        before = emulator.gateway.log.counts["resumed"]
        cut()
        emulator.edits.post_message(channel.id, f"while {cut.__name__}")
        await until(lambda: emulator.gateway.log.counts["resumed"] > before)  # noqa: B023
    await until(lambda: len(client.messages) == 2)

    assert [one.content for one in client.messages] == [
        "while reset_sockets",
        "while reconnect_all",
    ]
    assert emulator.gateway.identifies() == 1


async def test_every_edit_is_an_event(client, emulator, world) -> None:
    (guild,) = world.guilds.values()
    channel, edits = text_channel(world), emulator.edits
    user = guild.user_ids[0] if guild.user_ids else guild.owner_id
    first = edits.post_message(channel.id, "one")
    second, third = (edits.post_message(channel.id, text) for text in ("two", "three"))
    edits.edit_message(channel.id, first, "changed")
    edits.add_reaction(channel.id, first, "👍", user)
    edits.remove_reaction(channel.id, first, "👍", user)
    edits.add_reaction(channel.id, first, "🎉", user)
    edits.clear_emoji(channel.id, first, "🎉")
    edits.add_reaction(channel.id, first, "🎉", user)
    edits.clear_reactions(channel.id, first)
    edits.pin_message(channel.id, first)
    edits.delete_message(channel.id, first)
    edits.delete_messages(channel.id, [second, third])
    thread = edits.create_thread(channel.id, "a thread")
    edits.archive_thread(thread)
    edits.post_message(thread, "revived")
    edits.delete_channel(thread)
    made = edits.create_channel(guild.id, "new")
    edits.rename_channel(made, "renamed")
    edits.delete_channel(made)
    edits.set_role_permissions(guild.id, guild.id, guild.roles[guild.id].permissions)
    edits.begin_outage(guild.id)
    edits.end_outage(guild.id)
    edits.remove_bot(TOKEN, guild.id)
    await until(lambda: client.heard.count("GUILD_DELETE") == 2)

    assert {
        "MESSAGE_CREATE",
        "MESSAGE_UPDATE",
        "MESSAGE_DELETE",
        "MESSAGE_DELETE_BULK",
        "MESSAGE_REACTION_ADD",
        "MESSAGE_REACTION_REMOVE",
        "MESSAGE_REACTION_REMOVE_EMOJI",
        "MESSAGE_REACTION_REMOVE_ALL",
        "CHANNEL_PINS_UPDATE",
        "THREAD_CREATE",
        "THREAD_UPDATE",
        "THREAD_DELETE",
        "CHANNEL_CREATE",
        "CHANNEL_UPDATE",
        "CHANNEL_DELETE",
        "GUILD_ROLE_UPDATE",
        "GUILD_DELETE",
        "GUILD_CREATE",
    } <= set(client.heard)


# by hand ------------------------------------------------------------------------------------


async def test_a_heartbeat_is_answered_before_identify(emulator) -> None:
    async with connected(emulator) as raw:
        await raw.send(Op.HEARTBEAT, None)
        assert (await raw.next())["op"] == Op.HEARTBEAT_ACK


async def test_a_resume_repeats_in_order_what_was_missed(emulator, world) -> None:
    channel = text_channel(world)
    async with connected(emulator) as raw:
        session_id = await raw.session()
        seq = (await raw.until("GUILD_CREATE"))["s"]
    ids = [emulator.edits.post_message(channel.id, str(n)) for n in range(3)]

    async with connected(emulator, "/gateway/resume?v=10&encoding=json") as raw:
        await raw.send(Op.RESUME, {"token": TOKEN, "session_id": session_id, "seq": seq})
        await raw.until("RESUMED")

    assert [one["d"].get("id") for one in raw.events[:-1]] == [str(one) for one in ids]
    assert [one["s"] for one in raw.events] == [seq + 1, seq + 2, seq + 3, seq + 4]


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_client_that_closes_with_1000_ends_its_session(emulator, code) -> None:
    async with connected(emulator) as raw:
        session_id = await raw.session()
        await raw.socket.close(code=code)
    await until(lambda: not emulator.gateway.sessions)

    async with connected(emulator) as raw:
        await raw.send(Op.RESUME, {"token": TOKEN, "session_id": session_id, "seq": 1})
        frame = await raw.next()

    assert (frame["op"], frame["d"]) == (Op.INVALID_SESSION, False)


@pytest.mark.parametrize(
    ("op", "data", "code"),
    [
        (Op.IDENTIFY, IDENTIFY | {"token": "another"}, 4004),
        (Op.IDENTIFY, IDENTIFY | {"intents": 1 << 30}, 4013),
        (Op.IDENTIFY, IDENTIFY | {"shard": [2, 2]}, 4010),
        (Op.IDENTIFY, "text", 4002),
        (Op.REQUEST_MEMBERS, {}, 4003),
        (99, None, 4001),
    ],
)
async def test_what_discord_refuses_is_closed_with_its_code(emulator, op, data, code) -> None:
    async with connected(emulator) as raw:
        await raw.send(op, data)
        assert await raw.closed() == code


async def test_a_disallowed_intent_is_4014(emulator, world) -> None:
    emulator.edits.set_content_intent(TOKEN, False)
    async with connected(emulator) as raw:
        await raw.send(Op.IDENTIFY, IDENTIFY)
        assert await raw.closed() == 4014


async def test_a_second_identify_is_4005_and_a_wrong_sequence_4007(emulator) -> None:
    async with connected(emulator) as raw:
        session_id = await raw.session()
        await raw.send(Op.IDENTIFY, IDENTIFY)
        assert await raw.closed() == 4005
    async with connected(emulator) as raw:
        await raw.send(Op.RESUME, {"token": TOKEN, "session_id": session_id, "seq": 10_000})
        assert await raw.closed() == 4007


async def test_too_many_frames_are_4008(emulator) -> None:
    async with connected(emulator) as raw:
        for _ in range(121):
            await raw.send(Op.HEARTBEAT, None)
        assert await raw.closed() == 4008


async def test_a_bot_that_identifies_too_fast_gets_opcode_9(emulator) -> None:
    async with connected(emulator) as raw:
        await raw.session()
        async with connected(emulator) as other:
            await other.send(Op.IDENTIFY, IDENTIFY)
            assert (await other.next())["op"] == Op.INVALID_SESSION


async def test_beyond_the_session_limit_the_token_is_reset(emulator, world) -> None:
    emulator.gateway.set_remaining(TOKEN, 1)
    async with connected(emulator) as raw:
        await raw.session()
        async with connected(emulator) as other:
            await other.send(Op.IDENTIFY, IDENTIFY)
            assert await other.closed() == 4004

    assert TOKEN not in world.bots


async def test_a_bot_hears_only_of_channels_that_it_may_view(emulator, world) -> None:
    (guild,) = world.guilds.values()
    bot = world.bots[TOKEN]
    channel = text_channel(world)
    async with connected(emulator) as raw:
        await raw.session()
        await raw.until("GUILD_CREATE")
        deny = Permission.VIEW_CHANNEL
        emulator.edits.set_overwrite(channel.id, bot.user.id, 1, deny=deny)
        await raw.until("CHANNEL_DELETE")
        emulator.edits.post_message(channel.id, "secret")
        emulator.edits.remove_overwrite(channel.id, bot.user.id)
        await raw.until("CHANNEL_CREATE")
        emulator.edits.post_message(channel.id, "public")
        heard = await raw.until("MESSAGE_CREATE")

    assert heard["d"]["content"] == "public"
    assert guild.id == int(heard["d"]["guild_id"])


async def test_without_an_intent_its_events_do_not_come(emulator, world) -> None:
    channel = text_channel(world)
    async with connected(emulator) as raw:
        await raw.session(intents=INTENTS & ~(1 << 10) & ~(1 << 15))
        message_id = emulator.edits.post_message(channel.id, "hidden")
        emulator.edits.add_reaction(channel.id, message_id, "👍", 1)
        emulator.edits.delete_message(channel.id, message_id)
        await raw.until("MESSAGE_DELETE")

    names = [one["t"] for one in raw.events]
    created = next(one for one in raw.events if one["t"] == "MESSAGE_CREATE")
    assert "MESSAGE_REACTION_ADD" not in names
    assert created["d"]["content"] == ""


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (DeliveryFault.DROP, ["1", "2", "3"]),
        (DeliveryFault.LOSE, ["1", "2", "3"]),
        (DeliveryFault.DUPLICATE, ["0", "0", "1", "2", "3"]),
        (DeliveryFault.DELAY, ["1", "2", "3", "0"]),
        (DeliveryFault.REORDER, ["1", "0", "2", "3"]),
    ],
)
async def test_faults_spoil_the_delivery(emulator, world, fault, expected) -> None:
    channel = text_channel(world)
    async with connected(emulator) as raw:
        await raw.session()
        await raw.until("GUILD_CREATE")
        emulator.gateway.faults.add(GatewayRule(fault, "MESSAGE_CREATE"))
        for n in range(4):
            emulator.edits.post_message(channel.id, str(n))
        emulator.edits.create_channel(channel.guild_id, "end")
        await raw.until("CHANNEL_CREATE")

    heard = [one["d"]["content"] for one in raw.events if one["t"] == "MESSAGE_CREATE"]
    numbers = [one["s"] for one in raw.events]
    assert heard == expected
    is_whole = sorted(set(numbers)) == list(range(min(numbers), max(numbers) + 1))
    assert is_whole is (fault is not DeliveryFault.DROP)


async def test_a_shard_hears_its_guilds_only() -> None:
    guilds = [generate_guild(GuildSpec.tiny(), seed) for seed in (1, 2, 3)]
    world = World(*guilds)
    world.add_bot(TOKEN)
    async with serve(world, limits=Limits.off()) as emulator:
        heard: dict[int, set[str]] = {}
        world.bots[TOKEN].max_concurrency = 2
        for shard in (0, 1):
            async with connected(emulator) as raw:
                await raw.send(Op.IDENTIFY, IDENTIFY | {"shard": [shard, 2]})
                ready = await raw.until("READY")
                heard[shard] = {one["id"] for one in ready["d"]["guilds"]}

    for shard, ids in heard.items():
        assert all((int(one) >> 22) % 2 == shard for one in ids)
    assert heard[0] | heard[1] == {str(guild.id) for guild in guilds}


async def test_edits_from_another_thread_come_in_order(emulator, world) -> None:
    channel = text_channel(world)

    def post() -> None:
        for n in range(200):
            emulator.edits.post_message(channel.id, str(n))

    async with connected(emulator) as raw:
        await raw.session()
        await raw.until("GUILD_CREATE")
        await asyncio.to_thread(post)
        emulator.edits.create_channel(channel.guild_id, "end")
        await raw.until("CHANNEL_CREATE")

    heard = [one["d"]["content"] for one in raw.events if one["t"] == "MESSAGE_CREATE"]
    assert heard == [str(n) for n in range(200)]


async def test_programs_stage_faults_by_the_control_endpoint(emulator, world) -> None:
    url = emulator.origin + "/_emulator/gateway"
    async with connected(emulator) as raw, aiohttp.ClientSession() as session:
        await raw.session()
        steps = [{"do": "rule", "fault": "drop", "times": 1}, {"do": "close_all", "code": 4000}]
        async with session.post(url, json=steps) as answer:
            assert await answer.json() == {"done": 2}
        assert await raw.closed() == 4000
        async with session.post(url, json=[{"do": "world"}]) as answer:
            assert answer.status == 400
            assert "unknown fault" in (await answer.json())["error"]
        async with session.get(url) as answer:
            found = await answer.json()

    assert {entry["kind"] for entry in found["log"]} >= {"connect", "identify", "ready", "close"}
    assert len(emulator.gateway.faults.rules) == 1
