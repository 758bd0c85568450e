"""Ray head for tests: on free ports, in its own directory, and ended with the test."""

from __future__ import annotations

import json
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
"""Default ports of Ray's workers; Ray refuses other uses of them."""
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
    """Running head."""

    address: str  #: for RAY_ADDRESS
    dashboard_url: str  #: for `ray job submit` and the state API
    directory: Path  #: sessions, with all logs
    pid: int


@contextmanager
def running_head(directory: Path, environ: Mapping[str, str]) -> Iterator[RayHead]:
    """Start a head, and end only its processes: `ray stop` ends every Ray on the machine."""
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
        if head.poll() is not None:  # it ended too early: pytest prints the reason if a test failed
            print((directory / "head.out").read_text()[-2000:])
        kill_tree(head.pid)
        head.wait()


@contextmanager
def joined_node(head: RayHead, environ: Mapping[str, str], **resources: int) -> Iterator[int]:
    """Start another node of *head*'s cluster; yield its root process id."""
    names = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port")
    names += ("metrics-export-port", "node-manager-port", "object-manager-port")
    ports = _free_ports(len(names))
    command = [_ray(), "start", "--block", f"--address={head.address}", "--num-cpus=2"]
    command += [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
    command += ["--disable-usage-stats", "--object-store-memory=134217728"]
    command += ["--min-worker-port=0", "--max-worker-port=0"]
    command += [f"--resources={json.dumps(resources)}"]
    wait_until(lambda: alive_nodes(head) > 0, 60)  # the dashboard learns of the head with a delay
    before = alive_nodes(head)
    with (head.directory / f"node-{ports[0]}.out").open("wb") as output:
        node = subprocess.Popen(
            command, stdout=output, stderr=output, env=environ, start_new_session=True
        )
    try:
        wait_until(lambda: node.poll() is not None or alive_nodes(head) > before, 60)
        assert node.poll() is None, Path(output.name).read_text()
        yield node.pid
    finally:
        kill_tree(node.pid)
        node.wait()


def alive_nodes(head: RayHead) -> int:
    """Count the nodes that the dashboard reports as alive; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"{head.dashboard_url}/api/v0/nodes", timeout=10) as answer:
            rows = json.load(answer)["data"]["result"]["result"]
    except (urllib.error.URLError, OSError):
        return 0
    return sum(node["state"] == "ALIVE" for node in rows)


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants: a graceful end takes a head 15 s."""
    try:
        root = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    for process in [*root.children(recursive=True), root]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _ray() -> str:
    return str(Path(sys.executable).with_name("ray"))


def _answers(dashboard_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{dashboard_url}/api/version", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True  # it requires Ray's token
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
