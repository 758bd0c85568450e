"""Discord's gateway: discord.py's own WebSocket, with payloads left as Discord sends them.

`discord.Client` is not used: it keeps every member in memory, takes a sequence number as handled
on receipt, ends the session when it closes, and ignores how many sessions Discord still allows. Its
WebSocket needs ten attributes of a client, which `_Client` has. Heartbeats run in the event loop,
because discord.py's own take a thread for each connection.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import discord
import orjson
import yarl
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

from raysync.discord_api.answer_shapes import object_of
from raysync.discord_api.fields import UNREADABLE, count, mapping, text
from raysync.discord_api.proxies import Proxies
from raysync.discord_api.transport import Transport
from raysync.errors import (
    ConfigurationError,
    ContentIntentError,
    GatewayClosedError,
    PayloadError,
    ShardsChangedError,
    TokenRejectedError,
)
from raysync.models.live import Dispatch, GatewayAddress, IdentifyBudget, Position

INTENTS: Final = 1 | 1 << 9 | 1 << 10 | 1 << 15 | 1 << 24
"""Guilds, messages, reactions, content, polls."""
OPEN_S: Final = 30.0
"""Timeout of a connection, up to the session's first event."""
CLOSE_S: Final = 2.0
KEEPS_SESSION: Final = 4000
"""Code of a close after which the session can be resumed; 1000 and 1001 end it."""
_SILENCE_S: Final = 90.0
"""Seconds without any frame after which the connection counts as dead."""
_MAX_FRAME_BYTES: Final = 64 << 20
_MIN_INTERVAL_S, _MAX_INTERVAL_S = 0.05, 120.0
_NO_SESSION: Final = frozenset({4003, 4005, 4007, 4009})
"""Codes of closes after which only a new session helps."""


class Gateway:
    """One token's access to Discord's gateway."""

    def __init__(self, transport: Transport, token: str) -> None:
        self._transport = transport
        self._token = token.strip()

    async def address(self) -> GatewayAddress:
        """Ask Discord for the gateway's address, and for how many sessions may still begin."""
        answer = object_of(await self._transport.get("/gateway/bot"))
        try:
            limit = mapping(answer["session_start_limit"])
            budget = IdentifyBudget(
                remaining=count(limit["remaining"]),
                total=count(limit["total"]),
                reset_after_s=count(limit["reset_after"]) / 1000,
                max_concurrency=max(count(limit.get("max_concurrency", 1)), 1),
            )
            return GatewayAddress(text(answer["url"]), max(count(answer["shards"]), 1), budget)
        except UNREADABLE:
            raise PayloadError(
                "GET /gateway/bot: the answer is not what Discord documents."
            ) from None

    async def connect(
        self, url: str, position: Position | None = None, shard: int = 0, shards: int = 1
    ) -> GatewayConnection:
        """Open a connection: continue the session of *position*, or begin a new one.

        Raises:
            GatewayClosedError: it cannot be opened now.
            TokenRejectedError, ContentIntentError, ConfigurationError: it never can.
        """
        self._require_safe(url)
        session = aiohttp.ClientSession()
        try:
            agent = self._transport.user_agent
            client = _Client(session, self._token, agent, self._transport.proxies, url, shards)
            async with asyncio.timeout(OPEN_S):
                socket: _Socket = await _Socket.from_client(
                    client,  # type: ignore[arg-type]  # it stands in for discord.Client
                    initial=True,
                    gateway=yarl.URL(url),
                    shard_id=shard if shards > 1 else None,
                    session=None if position is None else position.session_id,
                    sequence=None if position is None else position.sequence,
                    resume=position is not None,
                )
        except BaseException as error:
            await session.close()
            if isinstance(error, Exception):
                raise _closed(error) from None
            raise
        return GatewayConnection(socket, session)

    def _require_safe(self, url: str) -> None:
        """Send the token over TLS wherever the API is reached by TLS."""
        scheme = yarl.URL(url).scheme
        allowed = ("wss",) if self._transport.base_url.startswith("https") else ("ws", "wss")
        if scheme not in allowed:
            raise PayloadError(
                "The API names an address of the gateway that is not encrypted, so the token is "
                "not sent there."
            )


class GatewayConnection:
    """Open connection to the gateway. Close it in any case."""

    def __init__(self, socket: _Socket, session: aiohttp.ClientSession) -> None:
        self._socket = socket
        self._session = session

    @property
    def heard_s(self) -> float:
        """Monotonic time of the last frame that Discord sent."""
        return self._socket.heard_s

    async def receive(self) -> Dispatch:
        """Return the next event.

        Raises:
            GatewayClosedError: the connection ended.
            TokenRejectedError, ContentIntentError, ConfigurationError: another one would, too.
        """
        socket = self._socket
        while not socket.inbox:
            try:
                await socket.poll_event()
            except Exception as error:  # noqa: BLE001 `_closed` returns what it does not know
                raise _closed(error, socket) from None
        return socket.inbox.popleft()

    def confirm(self, sequence: int) -> None:
        """Tell Discord with the next heartbeat that all events up to *sequence* are stored."""
        self._socket.sequence = sequence

    async def close(self, code: int = KEEPS_SESSION) -> None:
        """Close the connection. By default the session can be resumed."""
        try:
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_S):
                    await self._socket.close(code)
        finally:
            await self._session.close()


class _Socket(DiscordWebSocket):
    """discord.py's WebSocket with our handling of frames."""

    def __init__(self, socket: Any, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(socket, loop=loop)
        self.inbox: deque[Dispatch] = deque()
        self.heard_s = time.monotonic()
        self.is_resumable = True
        self._beating: asyncio.Task[None] | None = None
        self._is_acknowledged = True

    async def received_message(self, msg: Any, /) -> None:
        """Take a frame: an event goes to the inbox as it is."""
        if type(msg) is bytes:
            msg = self._decompressor.decompress(msg)
            if msg is None:
                return
        self.heard_s = time.monotonic()
        frame = mapping(orjson.loads(msg))
        op, data = frame.get("op"), frame.get("d")
        if op == self.DISPATCH:
            self.inbox.append(
                Dispatch(count(frame["s"]), text(frame["t"]), dict(mapping(data)), self.heard_s)
            )
        elif op == self.HELLO:
            interval_s = count(mapping(data)["heartbeat_interval"]) / 1000
            interval_s = min(max(interval_s, _MIN_INTERVAL_S), _MAX_INTERVAL_S)
            self._beating = self.loop.create_task(self._beat_for_ever(interval_s))
        elif op == self.HEARTBEAT_ACK:
            self._is_acknowledged = True
        elif op == self.HEARTBEAT:
            await self._beat()
        elif op == self.RECONNECT:
            await self.close()
            raise ReconnectWebSocket(self.shard_id)
        elif op == self.INVALIDATE_SESSION:
            self.is_resumable = data is True
            await self.close()
            raise ReconnectWebSocket(self.shard_id, resume=self.is_resumable)

    async def close(self, code: int = KEEPS_SESSION) -> None:
        """See `DiscordWebSocket.close`."""
        self._stop_beating()
        await super().close(code)

    async def _beat_for_ever(self, interval_s: float) -> None:
        while True:
            self._is_acknowledged = False
            await self._beat()
            await asyncio.sleep(interval_s)
            if not self._is_acknowledged:  # the connection is dead, though its socket is open
                self._beating = None
                await self.socket.close(code=KEEPS_SESSION)
                return

    async def _beat(self) -> None:
        await self.send_heartbeat({"op": self.HEARTBEAT, "d": self.sequence})

    def _stop_beating(self) -> None:
        if self._beating is not None and self._beating is not asyncio.current_task():
            self._beating.cancel()
        self._beating = None


class _Client:
    """What discord.py's WebSocket needs of a client."""

    _enable_debug_events = False

    def __init__(
        self,
        session: aiohttp.ClientSession,
        token: str,
        user_agent: str,
        proxies: Proxies,
        url: str,
        shards: int,
    ) -> None:
        self._user_agent = user_agent
        self.loop = asyncio.get_running_loop()
        self.http = SimpleNamespace(token=token, ws_connect=self._connect)
        self.dispatch: Callable[..., None] = _nothing
        self._session = session
        self._proxy = proxies.way_to(str(yarl.URL(url).with_scheme(_of_http(url))))
        self._connection = SimpleNamespace(
            parsers={},
            call_hooks=_no_hooks,
            shard_count=shards if shards > 1 else None,
            heartbeat_timeout=_SILENCE_S,
            _activity=None,
            _status=None,
            _intents=SimpleNamespace(value=INTENTS),
            _update_references=_nothing,
        )

    async def _connect(self, url: str) -> aiohttp.ClientWebSocketResponse:
        return await self._session.ws_connect(
            url,
            autoclose=False,
            max_msg_size=_MAX_FRAME_BYTES,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
            proxy=None if self._proxy is None else self._proxy.url,
            headers={"User-Agent": self._user_agent},
        )


def _nothing(*_: object, **__: object) -> None:
    return None


async def _no_hooks(*_: object, **__: object) -> None:
    return None


def _of_http(url: str) -> str:
    return "https" if yarl.URL(url).scheme == "wss" else "http"


def _closed(error: Exception, socket: _Socket | None = None) -> Exception:
    """Return raysync's error for the end of a connection."""
    if isinstance(error, ReconnectWebSocket):
        is_resumable = error.resume and (socket is None or socket.is_resumable)
        code = None if socket is None else socket.socket.close_code
        if code in _NO_SESSION:
            is_resumable = False
        return GatewayClosedError(f"The gateway closed the connection (code {code}).", is_resumable)
    if isinstance(error, discord.ConnectionClosed):
        return _refused(error.code)
    if isinstance(error, discord.DiscordException | aiohttp.ClientError | OSError | TimeoutError):
        return GatewayClosedError(f"The gateway cannot be reached ({type(error).__name__}).")
    if isinstance(error, (*UNREADABLE, orjson.JSONDecodeError)):
        return GatewayClosedError(
            f"The gateway sent what Discord does not document ({type(error).__name__})."
        )
    return error


def _refused(code: int | None) -> Exception:
    """Return the error of a close that another connection would end with, too."""
    if code == 4004:
        return TokenRejectedError(
            "Discord's gateway rejects the bot token: it was reset, or is not a bot's. Set the new "
            "one where the tenant's token is kept."
        )
    if code in (4013, 4014):
        return ContentIntentError(
            "The bot lacks the Message Content intent, so Discord refuses to send events. Switch "
            "it on (Discord Developer Portal, your application, Bot), then start again."
        )
    if code in (4010, 4011):
        return ShardsChangedError(
            "Discord wants the bot's servers divided among another number of sessions. Start the "
            "tail again: it asks for the number."
        )
    return ConfigurationError(f"Discord's gateway refuses the connection (code {code}).")
