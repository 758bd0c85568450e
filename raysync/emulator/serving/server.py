"""Server of an emulator, in the running event loop or in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web

from raysync.emulator.api.quirks import Quirks
from raysync.emulator.faults.rules import FaultRule
from raysync.emulator.limits.settings import Limits
from raysync.emulator.serving.emulator import Emulator
from raysync.emulator.serving.handler import Handler
from raysync.emulator.serving.latency import Latency
from raysync.emulator.world.world import World


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
    """Serve a world until the block ends. Port 0 takes any free port.

    Raises:
        OSError: the port is taken.
    """
    emulator = Emulator(world, limits or Limits(), quirks or Quirks(), faults)
    server = web.Server(Handler(emulator, latency).handle, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        emulator.origin = f"http://{host}:{runner.addresses[0][1]}"
        world.cdn.base_url = emulator.origin
        yield emulator
    finally:
        await runner.cleanup()


class EmulatorThread:
    """Server in a thread with its own event loop, for clients in other processes."""

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
