"""The emulator as an HTTP server, in the running loop or in a thread of its own."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from raysync.emulator.control import PREFIX as CONTROL_PREFIX
from raysync.emulator.control import Control
from raysync.emulator.edits import Edits
from raysync.emulator.engine import Engine, Outcome, spoiled
from raysync.emulator.faults import Action, FaultRule, FaultScript, Incoming
from raysync.emulator.limiter import Limiter
from raysync.emulator.limits import Limits
from raysync.emulator.quirks import Quirks
from raysync.emulator.request_log import Counters, LogEntry, RequestLog
from raysync.emulator.wire import (
    CUTTING_ACTIONS,
    attachment_reply,
    cut_connection,
    respond,
    respond_in_pieces,
)
from raysync.emulator.world import World

API_PREFIX: Final = "/api/v10"
CDN_ROUTE: Final = "GET CDN"
"""What the log calls a request to the CDN; its path has channel, attachment and name."""
_FOR_EVER_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Latency:
    """How long an answer takes: evenly drawn around the mean, repeatably by the seed."""

    mean_s: float = 0.0
    spread_s: float = 0.0
    seed: int = 0

    def draws(self) -> Iterator[float]:
        """Yield one delay after the other."""
        dice = random.Random(self.seed)  # noqa: S311 -- repeatable, nothing secret
        while True:
            yield max(0.0, self.mean_s + dice.uniform(-self.spread_s, self.spread_s))


class Emulator:
    """A Discord on loopback. Made by `serve` or `EmulatorThread`."""

    def __init__(
        self,
        world: World,
        limits: Limits,
        quirks: Quirks,
        faults: Iterable[FaultRule] = (),
        latency: Latency | None = None,
    ) -> None:
        self.world = world
        self.edits = Edits(world)
        self.engine = Engine(world, limits, quirks)
        self.faults = FaultScript(*faults)
        self.log = RequestLog()
        self.origin = ""
        self._control = Control(self)
        self._delays = latency.draws() if latency else None

    @property
    def url(self) -> str:
        """Return the API's base URL."""
        return self.origin + API_PREFIX

    @property
    def counters(self) -> Counters:
        """Return the counters since the last reset."""
        return self.log.counters

    def set_limits(self, limits: Limits) -> None:
        """Change the limits; every bucket starts anew."""
        self.engine.limiter = Limiter(limits)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request to the server."""
        path, _, query = request.path_qs.partition("?")
        body = await request.read() if request.can_read_body else b""
        if path.startswith(API_PREFIX + "/"):
            return await self._api(request, path.removeprefix(API_PREFIX), query, body)
        if path.startswith(("/attachments/", "/media/")):
            return await self._cdn(request, path, query)
        if path.startswith(CONTROL_PREFIX):
            name, address = path.removeprefix(CONTROL_PREFIX), request.remote or ""
            reply = self._control.answer(request.method, name, query, body, address)
            return web.Response(
                status=reply.status, body=reply.body, content_type=reply.content_type
            )
        return web.Response(status=404, text="404: Not Found")

    async def _cdn(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
        """Answer for the CDN, which knows of no bot and no limit."""
        agent = request.headers.get("User-Agent", "")
        incoming = Incoming(
            request.method, path, query, request.remote or "", None, agent, cdn=True
        )
        wanted = request.headers.get("Range")

        def answer() -> Outcome:
            return Outcome(attachment_reply(self.world, path.lstrip("/"), query, wanted), None)

        rule = self.faults.choose(incoming, None, None)
        if rule is None:
            return self._respond(request, incoming, answer())
        return await self._spoil(request, incoming, lambda: spoiled(answer, rule), rule)

    async def _api(
        self, request: web.BaseRequest, path: str, query: str, body: bytes
    ) -> web.StreamResponse:
        headers = request.headers
        incoming = Incoming(
            method=request.method,
            path=path,
            query=query,
            address=request.remote or "",
            authorization=headers.get("Authorization"),
            user_agent=headers.get("User-Agent", ""),
            body=body,
        )
        match, bot = self.engine.find(incoming), self.engine.bot_of(incoming.authorization)
        rule = self.faults.choose(incoming, match, bot)
        if self._delays is not None:
            await asyncio.sleep(next(self._delays))
        if rule is None:
            return self._respond(request, incoming, self.engine.answer(incoming, match))
        spoil = partial(self.engine.spoiled, incoming, match, rule)
        return await self._spoil(request, incoming, spoil, rule)

    async def _spoil(
        self,
        request: web.BaseRequest,
        incoming: Incoming,
        spoil: Callable[[], Outcome],
        rule: FaultRule,
    ) -> web.StreamResponse:
        for edit in rule.before:
            self.edits.apply(edit)
        if rule.delay_s or rule.action is Action.HANG:
            await asyncio.sleep(rule.delay_s or _FOR_EVER_S)
        outcome = spoil()
        for edit in rule.after:
            self.edits.apply(edit)
        if rule.action in CUTTING_ACTIONS:
            self._note(incoming, outcome, rule.action)
            return await cut_connection(request, rule, outcome)
        if rule.action is Action.DRIP or rule.pad_bytes or rule.encodings:
            self._note(incoming, outcome, rule.action)
            return await respond_in_pieces(request, outcome.reply, rule)
        return self._respond(request, incoming, outcome, rule.action)

    def _respond(
        self,
        request: web.BaseRequest,
        incoming: Incoming,
        outcome: Outcome,
        fault: str | None = None,
    ) -> web.Response:
        self._note(incoming, outcome, fault)
        accepted = request.headers.get("Accept-Encoding", "") if self.engine.quirks.gzip else ""
        return respond(outcome.reply, banned=outcome.banned, gzipped="gzip" in accepted)

    def _note(self, incoming: Incoming, outcome: Outcome, fault: str | None) -> None:
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


@asynccontextmanager
async def serve(
    world: World,
    *,
    limits: Limits | None = None,
    quirks: Quirks | None = None,
    faults: Iterable[FaultRule] = (),
    latency: Latency | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[Emulator]:
    """Serve a world until the block ends; port 0 takes any. OSError where it is taken."""
    emulator = Emulator(world, limits or Limits(), quirks or Quirks(), faults, latency)
    runner = web.ServerRunner(web.Server(emulator.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        emulator.origin = f"http://{host}:{runner.addresses[0][1]}"
        world.cdn.base_url = emulator.origin
        yield emulator
    finally:
        await runner.cleanup()


class EmulatorThread:
    """The same server in a thread with its own loop, for clients in other processes."""

    def __init__(
        self,
        world: World,
        *,
        limits: Limits | None = None,
        quirks: Quirks | None = None,
        faults: Iterable[FaultRule] = (),
        latency: Latency | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._served = serve(
            world,
            limits=limits,
            quirks=quirks,
            faults=faults,
            latency=latency,
            host=host,
            port=port,
        )
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="emulator", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._emulator: Emulator | None = None

    def __enter__(self) -> Emulator:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        if self._emulator is None:
            raise RuntimeError("the emulator ended before it was ready")
        return self._emulator

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except OSError as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._served as self._emulator:
            self._ready.set()
            await self._stop.wait()
