"""Forward proxy that relays HTTP, tunnels on CONNECT, and records its requests."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

USER, PASSWORD = "me", "hunter2%"
CREDENTIALS = "me:hunter2%25"
"""Credentials as in a proxy's URL."""


@dataclass
class ForwardProxy:
    """Proxy that relays only to *hosts*: a name to a local host and port."""

    hosts: Mapping[str, tuple[str, int]]
    refusal: bytes | None = None  #: status code and reason sent instead of every answer
    wants_password: bool = False
    asked: list[str] = field(default_factory=list)  #: "METHOD target"
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url_with_password(self) -> str:
        return f"http://{CREDENTIALS}@127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._relay(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        line, *headers = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = line.split(" ")
        self.asked.append(f"{method} {target}")
        refusal = self.refusal or self._refusal_for(headers)
        is_tunnel = method == "CONNECT"
        parts = urlsplit(f"//{target}" if is_tunnel else target)
        to = self.hosts.get(parts.netloc)
        if refusal is not None or to is None:
            status = refusal or b"502 Bad Gateway"
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 6\r\n\r\nProxy\n" % status)
            await writer.drain()
            return not is_tunnel
        there, back = await asyncio.open_connection(*to)
        if is_tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            kept = [h for h in headers if not h.lower().startswith(("proxy-", "connection:"))]
            path = parts._replace(scheme="", netloc="").geturl() or "/"
            lines = [f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]
            back.write("\r\n".join(lines).encode("latin-1"))
        await asyncio.gather(_copy(there, writer), _copy(reader, back))
        return False

    def _refusal_for(self, headers: list[str]) -> bytes | None:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.wants_password and f"Proxy-Authorization: {wanted}" not in headers:
            return b"407 Proxy Authentication Required\r\nProxy-Authenticate: Basic"
        return None


async def _copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while block := await source.read(1 << 16):
            to.write(block)
            await to.drain()
        to.close()


@asynccontextmanager
async def forward_proxy(
    hosts: Mapping[str, tuple[str, int]], **options: object
) -> AsyncIterator[ForwardProxy]:
    """Run a proxy in this event loop."""
    proxy = ForwardProxy(hosts, **options)  # type: ignore[arg-type]
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


@contextmanager
def proxy_thread(hosts: Mapping[str, tuple[str, int]], **options: object) -> Iterator[ForwardProxy]:
    """Run a proxy in a thread, for clients in other processes."""
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[ForwardProxy] = []

    async def serve() -> None:
        async with forward_proxy(hosts, **options) as proxy:
            found.append(proxy)
            ready.set()
            await ended.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()], daemon=True)
    thread.start()
    ready.wait()
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
