"""The gateway of an emulator: all sessions, and what they are told."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import orjson

from raysync.emulator.api.rendering import without_content
from raysync.emulator.gateway.faults import GatewayFaults
from raysync.emulator.gateway.log import GatewayLog
from raysync.emulator.gateway.protocol import Close, Op
from raysync.emulator.gateway.session import Session
from raysync.emulator.gateway.settings import GatewaySettings
from raysync.emulator.world.announcements import MESSAGE_CONTENT, Announcement
from raysync.emulator.world.entities import Bot
from raysync.emulator.world.messages import Payload, encode
from raysync.emulator.world.payloads import (
    gateway_guild_payload,
    gateway_payload,
    own_user_payload,
)
from raysync.emulator.world.permissions import can_view
from raysync.emulator.world.world import World

PATH = "/gateway/ws"
RESUME_PATH = "/gateway/resume"


class Gateway:
    """All sessions. Edits of any thread become events in the order of the edits.

    Methods may be called in any thread, unless they say otherwise.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = GatewaySettings()
        self.log = GatewayLog()
        self.faults = GatewayFaults()
        self.origin = ""  #: of the server, as ``ws://host:port``
        self.lock = threading.RLock()
        self.sessions: dict[str, Session] = {}
        self.connections: set[ServedConnection] = set()
        self._used: dict[str, int] = {}
        self._identified: dict[str, deque[float]] = {}
        self._resumes_to_refuse = 0
        world.observers.append(self.publish)
        world.gateway_of = self.describe

    def describe(self, bot: Bot) -> Payload:
        """Return the answer of /gateway/bot."""
        settings = self.settings
        shards = settings.wants_shards
        if shards is None:
            shards = 1 + len(bot.guild_ids) // settings.guilds_a_shard
        return gateway_payload(bot) | {
            "url": self.origin + PATH,
            "shards": shards,
            "session_start_limit": {
                "total": settings.session_limit,
                "remaining": self.remaining(bot.token),
                "reset_after": settings.reset_after_ms,
                "max_concurrency": bot.max_concurrency,
            },
        }

    def remaining(self, token: str) -> int:
        """Return how many sessions the bot may still begin."""
        return max(self.settings.session_limit - self._used.get(token, 0), 0)

    def set_remaining(self, token: str, remaining: int) -> None:
        """Set how many sessions the bot may still begin."""
        self._used[token] = self.settings.session_limit - remaining

    def identifies(self, token: str | None = None) -> int:
        """Return how many sessions were begun, by one bot or by all."""
        bot = None if token is None else self.world.bots[token].user.name
        entries = self.log.of_kind("identify")
        return sum(bot is None or entry.bot == bot for entry in entries)

    def change(self, **changes: object) -> None:
        """Change settings by name. Raises TypeError for an unknown one."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]

    def publish(self, announcement: Announcement) -> None:
        """Tell every session that may know."""
        with self.lock:
            bodies: dict[object, bytes] = {}
            for session in self.sessions.values():
                if self._may_know(session, announcement):
                    session.dispatch(announcement.name, self._body(session, announcement, bodies))

    def _may_know(self, session: Session, told: Announcement) -> bool:
        bot = session.bot
        if not session.intents & told.intent or not session.serves(told.guild_id):
            return False
        if told.token is not None:
            return told.token == bot.token
        if told.guild_id not in bot.guild_ids or told.guild_id in self.world.unavailable_ids:
            return False
        if told.channel is None:
            return True
        return can_view(self.world.guilds[told.guild_id], told.channel, bot.user.id)

    def _body(self, session: Session, told: Announcement, bodies: dict[object, bytes]) -> bytes:
        """Return the event's data, encoded once for all who see the same."""
        bot = session.bot
        is_whole = bot.sees_content and bool(session.intents & MESSAGE_CONTENT)
        variant: object = True if is_whole or not told.is_message else bot.user.id
        if variant not in bodies:
            payload = told.payload
            if variant is not True:
                payload = without_content(payload, bot.user.id)
            now_s = self.world.clock.now_ms() // 1000
            bodies[variant] = self.world.cdn.sign_encoded(encode(payload), now_s)
        return bodies[variant]

    def begin(self, session: Session) -> None:
        """Begin a session: READY, then its guilds."""
        with self.lock:
            self._expire()
            self.sessions[session.id] = session
            bot = session.bot
            guilds = [guild_id for guild_id in sorted(bot.guild_ids) if session.serves(guild_id)]
            ready = {
                "v": 10,
                "user": own_user_payload(bot),
                "guilds": [{"id": str(guild_id), "unavailable": True} for guild_id in guilds],
                "session_id": session.id,
                "resume_gateway_url": self.origin + RESUME_PATH,
                "shard": [session.shard, session.shards],
                "application": {"id": str(bot.application_id), "flags": 0},
                "session_type": "normal",
                "private_channels": [],
                "presences": [],
                "relationships": [],
            }
            session.dispatch("READY", orjson.dumps(ready))
            self.log.add("ready", bot=bot.user.name, session_id=session.id)
            for guild_id in guilds:
                if guild_id not in self.world.unavailable_ids:
                    guild = gateway_guild_payload(self.world.guilds[guild_id], bot.user.id)
                    session.dispatch("GUILD_CREATE", orjson.dumps(guild))

    def find(self, session_id: str, token: str) -> Session | None:
        """Return a session that the bot may resume."""
        with self.lock:
            self._expire()
            if self._resumes_to_refuse > 0:
                self._resumes_to_refuse -= 1
                self.sessions.pop(session_id, None)
                return None
            session = self.sessions.get(session_id)
            return session if session is not None and session.bot.token == token else None

    def use_identify(self, bot: Bot) -> bool:
        """Count a session that begins. Beyond the limit the token is reset; return False then."""
        with self.lock:
            if self.remaining(bot.token) <= 0:
                del self.world.bots[bot.token]
                self.log.add("token_reset", bot=bot.user.name)
                return False
            self._used[bot.token] = self._used.get(bot.token, 0) + 1
            return True

    def is_too_fast(self, bot: Bot, shard: int) -> bool:
        """Return whether the bot begins sessions faster than `max_concurrency` allows."""
        key = f"{bot.token}/{shard % bot.max_concurrency}"
        now_s, recent = time.monotonic(), self._identified.setdefault(key, deque())
        while recent and recent[0] < now_s - self.settings.identify_window_s:
            recent.popleft()
        if recent:
            return True
        recent.append(now_s)
        return False

    def end(self, session: Session) -> None:
        """End a session: it can no longer be resumed."""
        with self.lock:
            self.sessions.pop(session.id, None)

    def _expire(self) -> None:
        oldest_s = time.monotonic() - self.settings.resume_window_s
        for session in list(self.sessions.values()):
            if session.closed_s is not None and session.closed_s < oldest_s:
                del self.sessions[session.id]

    def close_all(self, code: int = Close.UNKNOWN_ERROR, token: str | None = None) -> None:
        """Close connections with a code."""
        for connection in self._of(token):
            connection.call(partial(connection.close, code))

    def reconnect_all(self, token: str | None = None) -> None:
        """Ask clients to connect again and resume (opcode 7)."""
        self._send_all(token, {"t": None, "s": None, "op": Op.RECONNECT, "d": None})

    def invalidate(self, token: str | None = None, *, resumable: bool = False) -> None:
        """Invalidate sessions (opcode 9). Those that are not *resumable* are gone."""
        if not resumable:
            with self.lock:
                for session in list(self.sessions.values()):
                    if token in (None, session.bot.token):
                        del self.sessions[session.id]
        self._send_all(token, {"t": None, "s": None, "op": Op.INVALID_SESSION, "d": resumable})

    def reset_sockets(self, token: str | None = None) -> None:
        """Break connections in the middle of a frame."""
        for connection in self._of(token):
            connection.call(connection.reset)

    def make_zombies(self, token: str | None = None) -> None:
        """Leave sockets open that bring nothing any more, not even a heartbeat's answer."""
        for connection in self._of(token):
            connection.is_zombie = True
            if connection.session is not None:
                connection.session.is_zombie = True

    def refuse_resumes(self, times: int = 1) -> None:
        """Answer the next attempts to resume with opcode 9."""
        self._resumes_to_refuse = times

    def forget_sessions(self) -> None:
        """Forget all sessions, as Discord does after some minutes."""
        with self.lock:
            self.sessions.clear()

    def _send_all(self, token: str | None, frame: Payload) -> None:
        for connection in self._of(token):
            connection.call(partial(connection.send, orjson.dumps(frame)))

    def _of(self, token: str | None) -> Iterator["ServedConnection"]:
        for connection in list(self.connections):
            bot = connection.bot
            if token is None or (bot is not None and bot.token == token):
                yield connection


class ServedConnection:
    """Connection as the gateway reaches it from any thread."""

    bot: Bot | None = None
    session: Session | None = None
    is_zombie = False
    loop: asyncio.AbstractEventLoop

    def call(self, action: Callable[[], object]) -> None:
        """Call *action* in the server's event loop."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(action)

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        raise NotImplementedError

    def close(self, code: int) -> None:
        """Close the connection."""
        raise NotImplementedError

    def reset(self) -> None:
        """Break the connection in the middle of a frame."""
        raise NotImplementedError
