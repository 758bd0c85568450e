"""Emulator: a world with the rules by which it is served, and the log of its requests."""

import time
from collections.abc import Iterable
from typing import Final

from raysync.emulator.api.quirks import Quirks
from raysync.emulator.api.requests import Incoming
from raysync.emulator.edits.by_name import Edits
from raysync.emulator.faults.rules import FaultRule
from raysync.emulator.faults.script import FaultScript
from raysync.emulator.gateway.gateway import Gateway
from raysync.emulator.limits.limiter import Limiter
from raysync.emulator.limits.settings import Limits
from raysync.emulator.serving.engine import Engine, Outcome
from raysync.emulator.serving.request_log import CDN_ROUTE, Counters, LogEntry, RequestLog
from raysync.emulator.world.world import World

API_PREFIX: Final = "/api/v10"


class Emulator:
    """A Discord on loopback. `serve` and `EmulatorThread` make and serve it."""

    def __init__(
        self, world: World, limits: Limits, quirks: Quirks, faults: Iterable[FaultRule] = ()
    ) -> None:
        self.world = world
        self.edits = Edits(world)
        self.engine = Engine(world, limits, quirks)
        self.faults = FaultScript(*faults)
        self.log = RequestLog()
        self.gateway = Gateway(world)
        self._origin = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port of the server."""
        return self._origin

    @origin.setter
    def origin(self, origin: str) -> None:
        self._origin = origin
        self.gateway.origin = origin.replace("http", "ws", 1)

    @property
    def url(self) -> str:
        """The API's base URL."""
        return self.origin + API_PREFIX

    @property
    def counters(self) -> Counters:
        """The counters since the last reset."""
        return self.log.counters

    def set_limits(self, limits: Limits) -> None:
        """Replace the limits. All buckets start empty."""
        self.engine.limiter = Limiter(limits)

    def set_quirks(self, quirks: Quirks) -> None:
        """Replace the quirks. Raise ValueError if one names an unknown route."""
        self.engine.quirks = self.engine.validated(quirks)

    def record(self, incoming: Incoming, outcome: Outcome, fault: str | None) -> None:
        """Add an answer to the log, with the action of the fault rule that took the request."""
        match, bot = outcome.match, outcome.bot
        entry = LogEntry(
            at_s=time.time(),
            method=incoming.method,
            path=f"{incoming.path}?{incoming.query}" if incoming.query else incoming.path,
            route=CDN_ROUTE if incoming.cdn else match.route.name if match else None,
            major_id=match.major_id if match else None,
            bot=bot.user.name if bot else None,
            status=outcome.reply.status,
            sent_bytes=len(outcome.reply.body),
            scope=outcome.scope,
            fault=fault,
        )
        self.log.add(entry)
