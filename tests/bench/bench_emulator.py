"""Full pages per second that the emulator serves from one core, without limits.

Run it: python tests/bench/bench_emulator.py [seconds]. The server has a process of its own;
the client here is bare sockets, so that it takes as little of the machine as it can.
"""

import multiprocessing
import os
import platform
import socket
import sys
import time
from multiprocessing.connection import Connection

import pytest

from raysync.emulator import EmulatorThread, GuildSpec, Limits, World, generate_guild

CHANNELS, MESSAGES, CONNECTIONS = 20, 1_000, 2
GOAL_PAGES_PER_S = 2_500


def serve_until_told(pipe: Connection) -> None:
    """Serve, and answer each request for the CPU seconds spent."""
    world = World(generate_guild(GuildSpec.uniform(CHANNELS, MESSAGES)))
    world.add_bot("bench")
    with EmulatorThread(world, limits=Limits.off()) as emulator:
        (guild,) = world.guilds.values()
        texts = [channel for channel in guild.channels.values() if channel.type == 0]
        pages = [(each.id, each.log.ids[at]) for each in texts for at in range(100, MESSAGES, 100)]
        pipe.send((emulator.origin.rpartition(":")[2], pages))
        while pipe.recv() == "cpu":
            pipe.send(time.process_time())


class PageClient:
    """Keep-alive connection that reads pages."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(1 << 20)
        self.view = memoryview(self.buffer)

    def ask(self, channel_id: int, before: int) -> None:
        """Send a request for a page."""
        path = f"/api/v10/channels/{channel_id}/messages?limit=100&before={before}"
        head = "host: 127.0.0.1\r\nauthorization: Bot bench\r\naccept: */*\r\n"
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())

    def read(self) -> int:
        """Read a response and return the length of its body."""
        got = self.socket.recv_into(self.view)
        while (head_end := self.buffer.find(b"\r\n\r\n", 0, got)) < 0:
            got += self.socket.recv_into(self.view[got:])
        head = bytes(self.buffer[:head_end]).lower()
        if not head.startswith(b"http/1.1 200"):
            raise AssertionError(head)
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        while got < head_end + 4 + length:
            got += self.socket.recv_into(self.view[got:])
        return length


def measure(seconds: float) -> dict[str, float]:
    """Return pages/s, MB/s, the server's CPU and the bytes a page."""
    here, there = multiprocessing.Pipe()
    clients: list[PageClient] = []
    server = multiprocessing.get_context("spawn").Process(target=serve_until_told, args=(there,))
    server.start()
    try:
        port, pages = here.recv()
        clients += [PageClient(int(port)) for _ in range(CONNECTIONS)]
        drive(clients, pages, len(pages), float("inf"))
        here.send("cpu")
        cpu_before_s, started_s = here.recv(), time.perf_counter()
        count, sent_bytes = drive(clients, pages, sys.maxsize, started_s + seconds)
        took_s = time.perf_counter() - started_s
        here.send("cpu")
        cpu_s = here.recv() - cpu_before_s
        here.send("stop")
    finally:
        for each in (*[client.socket for client in clients], here, there):
            each.close()
        server.join(5)
        server.terminate()
    return {
        "pages_per_s": count / took_s,
        "megabytes_per_s": sent_bytes / took_s / 1e6,
        "server_cpu_us_per_page": cpu_s / count * 1e6,
        "pages_per_cpu_s": count / cpu_s,
        "page_bytes": sent_bytes / count,
    }


def drive(
    clients: list[PageClient], pages: list[tuple[int, int]], most: int, until_s: float
) -> tuple[int, int]:
    """Keep one request under way on each connection; return pages and bytes read."""
    count = total = 0
    while count < most and time.perf_counter() < until_s:
        for offset, client in enumerate(clients):
            client.ask(*pages[(count + offset) % len(pages)])
        total += sum(client.read() for client in clients)
        count += len(clients)
    return count, total


@pytest.mark.bench
def test_one_core_serves_2500_pages_a_second() -> None:
    figures = measure(5.0)

    print(report(figures))
    assert figures["pages_per_cpu_s"] >= GOAL_PAGES_PER_S


def report(figures: dict[str, float]) -> str:
    """Return the figures and the machine as text."""
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
    lines = [f"{name:>24} {value:12,.1f}" for name, value in figures.items()]
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    python = f"Python {platform.python_version()}"
    return "\n".join([*lines, f"{'machine':>24} {machine}{load}; {python}"])


if __name__ == "__main__":
    print(report(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)))
