"""A run on a cluster that scales itself, whose nodes are processes: prints what it saw, as JSON.

`python -m tests.cluster.fake_cloud v2`, in namespaces of its own: Ray listens on its usual ports,
and what it starts is gone with them. raysync's environment is this program's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from raysync.emulator import World
from tests.cluster.guilds import served, wide_world
from tests.cluster.installation import Installation, ended, ray_environ
from tests.cluster.midrun import pages_read
from tests.cluster.ray_head import RayHead, alive_nodes
from tests.cluster.waiting import wait_until

NAMESPACES = ["unshare", "-p", "-f", "-m", "-n", "-u", "--kill-child", "--mount-proc"]
INSIDE = 'ip link set lo up; mkdir -p /tmp/ray; mount -t tmpfs tmpfs /tmp/ray; exec "$@"'
HEAD_NODE_ID = "f" * 51 + "00000"
WORKERS_PER_NODE = 2
IDLE_MINUTES = 0.1
CHANNELS, PAGES = 40, 30
LATENCY_S = 0.2


def world() -> World:
    """Return the guild to read; the same each time."""
    return wide_world(CHANNELS, PAGES)


def main(version: str) -> None:
    with served(world(), LATENCY_S) as emulator, scaling_head(version) as head:
        installation = Installation(os.environ["RAYSYNC_DATABASE_URL"], dict(os.environ))
        installation = installation.for_emulator(emulator).with_environ(RAY_ADDRESS=head.address)
        log = NodeLog(head)
        killed = ""
        with installation.starting("--tenant", "takaro") as program:
            wait_until(lambda: program.poll() is not None or log.count >= 4, 240)
            wait_until(lambda: program.poll() is not None or pages_read(emulator) >= 200, 240)
            killed = kill_a_node()
            log.tell("killed")
            run = ended(program, 240)
        log.tell("ended")
        wait_until(lambda: log.count == 1, 120)
        log.close()
        installation.assert_complete("takaro", emulator)
        seen = {"code": run.code, "err": run.err, "nodes": log.lines, "killed": killed}
        json.dump(
            seen | {"workers": sorted({channel["worker_id"] for channel in channels(run.job)})},
            sys.stdout,
        )


def channels(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(job["channel_results"])


class NodeLog:
    """Log of the number of nodes over time."""

    def __init__(self, head: RayHead) -> None:
        self.lines: list[list[Any]] = []
        self.count = 0
        self._head = head
        self._began_s = time.monotonic()
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def tell(self, what: str) -> None:
        self.lines.append([round(time.monotonic() - self._began_s, 1), what])

    def close(self) -> None:
        self._ended.set()
        self._watching.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            if (now := alive_nodes(self._head)) not in (0, self.count):
                self.count = now
                self.tell(f"{now} nodes")


@contextmanager
def scaling_head(version: str) -> Iterator[RayHead]:
    """Start a head without room for workers, and an autoscaler for up to four nodes."""
    directory = Path(tempfile.mkdtemp(prefix="rs-"))
    config = directory / "cluster.json"
    config.write_text(json.dumps(cluster(version)))
    environ = ray_environ() | {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    if version == "v2":
        environ |= {
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD_NODE_ID,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_NODE_ID,
        }
    else:
        environ |= {"RAY_enable_autoscaler_v2": "0"}
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += [f"--autoscaling-config={config}", "--num-cpus=0", "--disable-usage-stats"]
    command += ["--object-store-memory=134217728", "--min-worker-port=0", "--max-worker-port=0"]
    with (directory / "head.out").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environ)
    head = RayHead("127.0.0.1:6379", "http://127.0.0.1:8265", directory, process.pid)
    try:
        wait_until(lambda: process.poll() is not None or alive_nodes(head) == 1, 90)
        assert process.poll() is None, (directory / "head.out").read_text()
        yield head
    finally:
        process.kill()


def cluster(version: str) -> dict[str, Any]:
    """Return a configuration for `ray up` whose nodes are processes of this machine."""
    provider: dict[str, Any] = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    if version == "v2":
        provider |= {"launch_multiple": True, "head_node_id": HEAD_NODE_ID}
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray")
    return {
        "cluster_name": "raysync",
        "max_workers": 4,
        "upscaling_speed": 10.0,
        "idle_timeout_minutes": IDLE_MINUTES,
        "provider": provider,
        "auth": {},
        "docker": {},
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "sync-worker": {
                "resources": {"CPU": 2, "raysync_worker": WORKERS_PER_NODE},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 4,
            },
        },
        "head_node_type": "ray.head.default",
        "file_mounts": {},
        "cluster_synced_files": [],
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{each}_commands": [] for each in (*commands, "worker_start_ray")},
    }


def raylets() -> list[psutil.Process]:
    """Return the raylets of nodes that host raysync's workers."""
    found = []
    for each in psutil.process_iter(["name", "cmdline"]):
        if each.info["name"] == "raylet":
            titles = [child.cmdline()[:1] for child in each.children() if child.is_running()]
            if any(title and title[0].startswith("ray::ChannelSyncActor") for title in titles):
                found.append(each)
    return found


def kill_a_node() -> str:
    """Kill one node, like a power failure."""
    raylet = raylets()[0]
    for each in [raylet, *raylet.children(recursive=True)]:
        each.kill()
    return f"raylet {raylet.pid}"


if __name__ == "__main__":
    main(sys.argv[1])
