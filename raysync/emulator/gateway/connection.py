"""One WebSocket connection: HELLO, IDENTIFY or RESUME, heartbeats, events."""

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from raysync.emulator.gateway.compression import Compress, compressor
from raysync.emulator.gateway.gateway import Gateway, ServedConnection
from raysync.emulator.gateway.protocol import (
    ALL_INTENTS,
    ENDING_CODES,
    PRIVILEGED_CONTENT,
    PRIVILEGED_MEMBERS,
    Close,
    Op,
)
from raysync.emulator.gateway.session import Session

_MAX_FRAME_BYTES = 4096
_CLOSE_S = 1.0


class _RefusedError(Exception):
    """The client did what Discord answers with a close code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Connection(ServedConnection):
    """Connection of one client."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.loop = asyncio.get_running_loop()
        self._frames: deque[bytes] = deque()
        self._woken = asyncio.Event()
        self._is_waking = False
        self._socket = web.WebSocketResponse(
            autoping=True, compress=False, max_msg_size=_MAX_FRAME_BYTES, timeout=_CLOSE_S
        )
        self._compress: Compress | None = None
        self._request: web.BaseRequest | None = None
        self._beat_s = time.monotonic()
        self._sent: deque[float] = deque()
        self._closing: asyncio.Task[Any] | None = None
        self._is_closed_here = False  #: then the client's code only answers ours

    async def serve(self, request: web.BaseRequest) -> web.WebSocketResponse:
        """Serve the connection to its end."""
        query, self._request = request.query, request
        await self._socket.prepare(request)
        gateway = self._gateway
        gateway.log.add("connect")
        gateway.connections.add(self)
        tasks: list[asyncio.Task[None]] = []
        try:
            self._open(query)
            interval_ms = gateway.settings.heartbeat_interval_ms
            self._push({"op": Op.HELLO, "d": {"heartbeat_interval": interval_ms}})
            tasks = [
                asyncio.create_task(self._send_for_ever()),
                asyncio.create_task(self._watch_heartbeats(interval_ms / 1000)),
            ]
            await self._receive()
        except _RefusedError as error:
            await self._close(error.code)
        except ValueError:
            await self._close(Close.DECODE_ERROR)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._leave()
        return self._socket

    def send(self, frame: bytes) -> None:
        """Queue a frame, in the server's event loop or from another thread under the lock."""
        self._frames.append(frame)
        if not self._is_waking:
            self._is_waking = True
            self.call(self._wake)

    def close(self, code: int) -> None:
        """Close the connection with a code."""
        self._closing = asyncio.ensure_future(self._close(code))

    def reset(self) -> None:
        """Send half a frame, then RST."""
        transport = None if self._request is None else self._request.transport
        if transport is None:
            return
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.write(b"\x82\x7e\x04\x00half of a frame")
        transport.close()

    def _open(self, query: Mapping[str, str]) -> None:
        if query.get("v", "10") not in ("9", "10"):
            raise _RefusedError(Close.INVALID_API_VERSION)
        if query.get("encoding", "json") != "json":
            raise _RefusedError(Close.DECODE_ERROR)
        self._compress = compressor(query.get("compress"))

    def _wake(self) -> None:
        self._is_waking = False
        self._woken.set()

    def _push(self, frame: dict[str, Any]) -> None:
        if not self.is_zombie:
            self.send(orjson.dumps({"t": None, "s": None} | frame))

    async def _send_for_ever(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._frames:
                frame = self._frames.popleft()
                if self._compress is None:
                    await self._socket.send_str(frame.decode())
                else:
                    await self._socket.send_bytes(self._compress(frame))

    async def _watch_heartbeats(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s / 4)
            if time.monotonic() - self._beat_s > interval_s * 1.5 and not self.is_zombie:
                await self._close(Close.SESSION_TIMED_OUT)

    async def _receive(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                raise _RefusedError(Close.DECODE_ERROR)
            self._count_send()
            frame = orjson.loads(message.data)
            if not isinstance(frame, dict):
                raise _RefusedError(Close.DECODE_ERROR)
            await self._answer(frame.get("op"), frame.get("d"))

    def _count_send(self) -> None:
        now_s, settings = time.monotonic(), self._gateway.settings
        self._sent.append(now_s)
        while self._sent[0] < now_s - settings.sends_window_s:
            self._sent.popleft()
        if len(self._sent) > settings.sends:
            raise _RefusedError(Close.RATE_LIMITED)

    async def _answer(self, op: Any, data: Any) -> None:
        match op:
            case Op.HEARTBEAT:
                self._beat_s = time.monotonic()
                self._push({"op": Op.HEARTBEAT_ACK, "d": None})
            case Op.IDENTIFY:
                self._identify(data)
            case Op.RESUME:
                self._resume(data)
            case Op.PRESENCE | Op.VOICE_STATE | Op.REQUEST_MEMBERS:
                if self.session is None:
                    raise _RefusedError(Close.NOT_AUTHENTICATED)
            case _:
                raise _RefusedError(Close.UNKNOWN_OPCODE)

    def _identify(self, data: Any) -> None:
        if self.session is not None:
            raise _RefusedError(Close.ALREADY_AUTHENTICATED)
        if not isinstance(data, dict) or not isinstance(data.get("properties"), dict):
            raise _RefusedError(Close.DECODE_ERROR)
        gateway, bot = self._gateway, self._gateway.world.bots.get(str(data.get("token")))
        if bot is None:
            raise _RefusedError(Close.AUTHENTICATION_FAILED)
        self.bot = bot
        gateway.log.add("identify", bot=bot.user.name)
        if not gateway.use_identify(bot):
            raise _RefusedError(Close.AUTHENTICATION_FAILED)
        intents = data.get("intents")
        if not isinstance(intents, int) or intents & ~ALL_INTENTS:
            raise _RefusedError(Close.INVALID_INTENTS)
        if (intents & PRIVILEGED_CONTENT and not bot.content_intent) or (
            intents & PRIVILEGED_MEMBERS and not bot.members_intent
        ):
            raise _RefusedError(Close.DISALLOWED_INTENTS)
        shard, shards = self._shard(data.get("shard"))
        if len(bot.guild_ids) / shards > gateway.settings.guilds_a_shard:
            raise _RefusedError(Close.SHARDING_REQUIRED)
        if gateway.is_too_fast(bot, shard):
            self._invalid_session()
            return
        self.session = session = Session(
            bot, intents, shard, shards, gateway.settings, gateway.faults
        )
        session.send = self.send
        gateway.begin(session)

    def _shard(self, given: Any) -> tuple[int, int]:
        if given is None:
            return 0, 1
        is_pair = isinstance(given, list) and len(given) == 2
        if not is_pair or not all(isinstance(one, int) for one in given):
            raise _RefusedError(Close.INVALID_SHARD)
        shard, shards = given
        if not 0 <= shard < shards:
            raise _RefusedError(Close.INVALID_SHARD)
        return shard, shards

    def _resume(self, data: Any) -> None:
        if self.session is not None:
            raise _RefusedError(Close.ALREADY_AUTHENTICATED)
        if not isinstance(data, dict):
            raise _RefusedError(Close.DECODE_ERROR)
        gateway, token = self._gateway, str(data.get("token"))
        bot = gateway.world.bots.get(token)
        if bot is None:
            raise _RefusedError(Close.AUTHENTICATION_FAILED)
        self.bot = bot
        session_id, seq = str(data.get("session_id")), data.get("seq")
        gateway.log.add(
            "resume",
            bot=bot.user.name,
            session_id=session_id,
            seq=seq if isinstance(seq, int) else None,
        )
        session = gateway.find(session_id, token)
        if session is None:
            self._invalid_session()
            return
        with gateway.lock:
            if not isinstance(seq, int) or seq > session.seq:
                gateway.end(session)
                raise _RefusedError(Close.INVALID_SEQUENCE)
            if session.send is not None:  # another connection has it: the last one wins
                session.send = None
            session.send, session.closed_s, session.is_zombie = self.send, None, False
            self.session = session
            if not session.replay(seq):
                session.send = self.session = None
                gateway.end(session)
                self._invalid_session()
                return
            session.dispatch("RESUMED", b'{"_trace":[]}')
        gateway.log.add("resumed", bot=bot.user.name, session_id=session_id, seq=seq)

    def _invalid_session(self) -> None:
        bot = None if self.bot is None else self.bot.user.name
        self._gateway.log.add("invalid_session", bot=bot)
        self._push({"op": Op.INVALID_SESSION, "d": False})

    async def _close(self, code: int) -> None:
        self._is_closed_here = True
        bot = None if self.bot is None else self.bot.user.name
        self._gateway.log.add("close", bot=bot, code=int(code))
        if code == Close.SESSION_TIMED_OUT and self.session is not None:
            self._gateway.end(self.session)
        await self._socket.close(code=code)

    def _leave(self) -> None:
        """Leave the session, which can be resumed unless the client has ended it."""
        gateway = self._gateway
        gateway.connections.discard(self)
        session, self.session = self.session, None
        if session is None:
            return
        with gateway.lock:
            if session.send == self.send:
                session.send, session.closed_s = None, time.monotonic()
        if self._socket.close_code in ENDING_CODES and not self._is_closed_here:
            gateway.end(session)
