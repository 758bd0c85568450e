"""A Ray head of the tests' own: on free ports, in its own directory, and gone at the end."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.cluster.waiting import wait_until

_RESERVED = range(10002, 20000)
"""Where Ray's workers listen unless told otherwise; it refuses other uses of these ports."""
_PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "node-manager-port",
    "object-manager-port",
    "ray-client-server-port",
)


@dataclass(frozen=True, slots=True)
class RayHead:
    """A running head."""

    address: str  #: for RAY_ADDRESS
    dashboard_url: str  #: for `ray job submit` and the state API
    directory: Path  #: sessions, with all logs
    pid: int


@contextmanager
def running_head(directory: Path, environ: Mapping[str, str]) -> Iterator[RayHead]:
    """Start a head, and end exactly its processes.

    Never by `ray stop`, which ends every Ray of the machine.
    """
    ports = _free_ports(len(_PORTS))
    options = [f"--{name}={port}" for name, port in zip(_PORTS, ports, strict=True)]
    command = [_ray(), "start", "--head", "--block", *options, f"--temp-dir={directory}"]
    command += ["--num-cpus=2", "--disable-usage-stats", "--object-store-memory=134217728"]
    command += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-host=127.0.0.1"]
    with (directory / "head.out").open("wb") as output:
        head = subprocess.Popen(
            command, stdout=output, stderr=output, env=environ, start_new_session=True
        )
    dashboard_url = f"http://127.0.0.1:{ports[1]}"
    try:
        wait_until(lambda: head.poll() is not None or _answers(dashboard_url), 60)
        assert head.poll() is None, (directory / "head.out").read_text()
        yield RayHead(f"127.0.0.1:{ports[0]}", dashboard_url, directory, head.pid)
    finally:
        _kill_tree(head.pid)
        head.wait()


def _kill_tree(pid: int) -> None:
    """End a process and what it started, at once: a drained end takes a head 15 s."""
    root = psutil.Process(pid)
    for each in [*root.children(recursive=True), root]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def _ray() -> str:
    return str(Path(sys.executable).with_name("ray"))


def _answers(dashboard_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{dashboard_url}/api/version", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = taken.getsockname()[1]
            if port not in _RESERVED:
                ports.append(port)
    return ports
