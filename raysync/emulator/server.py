"""The emulator as an HTTP server, in the running loop or in a thread of its own."""

import asyncio
import gzip
import secrets
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Final

from aiohttp import web

from raysync.emulator.cdn import attachment_bytes, parse_query
from raysync.emulator.engine import Engine, Incoming, Outcome
from raysync.emulator.limiter import Limiter
from raysync.emulator.limits import Limits
from raysync.emulator.quirks import Quirks
from raysync.emulator.replies import Reply
from raysync.emulator.request_log import Counters, LogEntry, RequestLog
from raysync.emulator.world import World

API_PREFIX: Final = "/api/v10"
_WIRE: Final = {
    "via": "1.1 google",
    "server": "cloudflare",
    "cf-cache-status": "DYNAMIC",
    "alt-svc": 'h3=":443"; ma=86400',
}


class Emulator:
    """A Discord on loopback. Made by `serve` or `EmulatorThread`."""

    def __init__(self, world: World, limits: Limits, quirks: Quirks) -> None:
        self.world = world
        self.engine = Engine(world, limits, quirks)
        self.log = RequestLog()
        self.origin = ""

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
        if path.startswith(API_PREFIX + "/"):
            return await self._api(request, path.removeprefix(API_PREFIX), query)
        if path.startswith(("/attachments/", "/media/")):
            return self._attachment(path.lstrip("/"), query)
        return web.Response(status=404, text="404: Not Found")

    async def _api(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
        headers = request.headers
        incoming = Incoming(
            method=request.method,
            path=path,
            query=query,
            address=request.remote or "",
            authorization=headers.get("Authorization"),
            user_agent=headers.get("User-Agent", ""),
            body=await request.read() if request.can_read_body else b"",
        )
        outcome = self.engine.answer(incoming, self.engine.find(incoming))
        self._note(incoming, outcome)
        accepted = headers.get("Accept-Encoding", "") if self.engine.quirks.gzip else ""
        return respond(outcome.reply, banned=outcome.banned, gzipped="gzip" in accepted)

    def _note(self, incoming: Incoming, outcome: Outcome) -> None:
        match, bot = outcome.match, outcome.bot
        entry = LogEntry(
            at_s=time.time(),
            method=incoming.method,
            path=f"{incoming.path}?{incoming.query}" if incoming.query else incoming.path,
            route=f"{match.route.method} {match.route.template}" if match else None,
            major_id=match.major_id if match else None,
            bot=bot.user.name if bot else None,
            status=outcome.reply.status,
            sent_bytes=len(outcome.reply.body),
            scope=outcome.scope,
        )
        self.log.add(entry)

    def _attachment(self, path: str, query: str) -> web.Response:
        now_s = self.world.clock.now_ms() // 1000
        if not self.world.cdn.admits(path, parse_query(query), now_s):
            return web.Response(status=404, text="This content is no longer available.")
        found = self.world.attachment(path.removeprefix("media/"))
        if found is None:
            return web.Response(status=404, text="404: Not Found")
        body = attachment_bytes(int(found["id"]), int(found["size"]))
        return web.Response(body=body, headers={"content-type": found["content_type"]})


def respond(reply: Reply, *, banned: bool = False, gzipped: bool = False) -> web.Response:
    """Lay the wire rules on an answer; a ban comes from Cloudflare and bears no Via."""
    headers = _WIRE | reply.headers
    if banned:
        del headers["via"]
    headers["content-type"] = reply.content_type
    headers["date"] = formatdate(usegmt=True)
    headers["cf-ray"] = f"{secrets.token_hex(8)}-FRA"
    body = reply.body
    if gzipped:
        body, headers["content-encoding"] = gzip.compress(body, 6), "gzip"
    return web.Response(status=reply.status, body=body, headers=headers)


@asynccontextmanager
async def serve(
    world: World,
    *,
    limits: Limits | None = None,
    quirks: Quirks | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[Emulator]:
    """Serve a world until the block ends; port 0 takes any. OSError where it is taken."""
    emulator = Emulator(world, limits or Limits(), quirks or Quirks())
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
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._served = serve(world, limits=limits, quirks=quirks, host=host, port=port)
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
