"""Nodes that die, drain or hang: the archive stays correct."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from raysync.actors.offers import WORKER_MEMORY_BYTES
from raysync.emulator import Emulator
from tests.cluster.guilds import ServeTenant, wide_world
from tests.cluster.installation import Installation, ended, ray_environ
from tests.cluster.midrun import actor_processes, pages_read, wait_for_pages
from tests.cluster.ray_head import RayHead, joined_node, kill_tree, running_head
from tests.cluster.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CHANNELS, PAGES = 24, 40
LATENCY_S = 0.2
"""So that a run lasts until both nodes have workers."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """A head that has no room for workers, and two nodes that have room for two or more each."""

    head: RayHead
    pids: tuple[int, int]
    installation: Installation
    emulator: Emulator

    def workers_on(self, number: int) -> list[psutil.Process]:
        """The workers' processes on one of the two nodes."""
        return actor_processes(self.head, "ChannelSyncActor", self.pids[number])


@pytest.fixture
def nodes(
    request: pytest.FixtureRequest, without_ray: Installation, serve_tenant: ServeTenant
) -> Iterator[Nodes]:
    room = getattr(request, "param", 2)
    environ = ray_environ() | {"RAY_raylet_start_wait_time_s": "90"}
    with ExitStack() as stack:
        directory = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True)
        )
        head = stack.enter_context(running_head(Path(directory), environ))
        first, second = (
            stack.enter_context(joined_node(head, environ, raysync_worker=room)) for _ in range(2)
        )
        installation, emulator = serve_tenant(
            without_ray,
            wide_world(CHANNELS, PAGES),
            LATENCY_S,
            RAY_ADDRESS=head.address,
            SYNC_WORKER_RESOURCE="raysync_worker",
            SYNC_MAX_CHANNEL_WORKERS="4",
            SYNC_CHANNEL_BATCH_SIZE="3",
            SYNC_RETRY_DELAY_MS="50",
        )
        yield Nodes(head, (first, second), installation, emulator)


def busy_on_both(nodes: Nodes, program: subprocess.Popen[str]) -> None:
    """Wait until all four workers read, two on each node, and pages come in."""
    wait_until(lambda: program.poll() is not None or reading(nodes.installation) == 4, 90)
    wait_for_pages(nodes.emulator, pages_read(nodes.emulator) + 20, program)


def reading(installation: Installation) -> int:
    """How many workers have claimed channels."""
    (row,) = installation.query("SELECT count(DISTINCT worker_id) FROM sync_progress")
    return int(row["count"])


@pytest.mark.parametrize("nodes", [8], indirect=True)
def test_workers_are_spread_over_nodes_that_each_have_room_for_all(nodes: Nodes) -> None:
    with nodes.installation.starting("--tenant", "takaro") as program:
        busy_on_both(nodes, program)
        on_each = [len(nodes.workers_on(number)) for number in (0, 1)]
        asked = {
            actor["required_resources"].get("memory")
            for actor in actors(nodes.head)
            if actor["class_name"] == "ChannelSyncActor"
        }
        run = ended(program, 200)

    assert on_each == [2, 2]
    assert asked == {WORKER_MEMORY_BYTES}
    assert run.code == 0, run.err


def actors(head: RayHead) -> list[dict[str, Any]]:
    """Return Ray's description of the actors."""
    with urllib.request.urlopen(f"{head.dashboard_url}/api/v0/actors?detail=1") as answer:
        return list(json.load(answer)["data"]["result"]["result"])


def test_a_node_that_dies_in_mid_run_costs_time_only(nodes: Nodes) -> None:
    with nodes.installation.starting("--tenant", "takaro") as program:
        busy_on_both(nodes, program)
        kill_tree(nodes.pids[1])
        run = ended(program, 200)

    assert run.code == 0, run.err
    nodes.installation.assert_complete("takaro", nodes.emulator)


def test_a_node_that_is_taken_back_is_left_before_it_goes(nodes: Nodes) -> None:
    with nodes.installation.starting("--tenant", "takaro") as program:
        busy_on_both(nodes, program)
        drain(nodes.head, nodes.workers_on(1)[0])
        wait_until(lambda: program.poll() is not None or not nodes.workers_on(1), 60)
        kill_tree(nodes.pids[1])
        run = ended(program, 200)

    assert run.code == 0, run.err
    assert all(channel["retry_count"] == 0 for channel in run.job["channel_results"])
    nodes.installation.assert_complete("takaro", nodes.emulator)


def drain(head: RayHead, process: psutil.Process) -> None:
    """Tell Ray that the node of *process* will be preempted in a minute."""
    (node_id,) = {actor["node_id"] for actor in actors(head) if actor["pid"] == process.pid}
    script = (
        "from ray._raylet import GcsClient; import sys, time\n"
        "GcsClient(sys.argv[1]).drain_node(sys.argv[2], 2, 'spot', int(time.time()*1000)+60000)"
    )
    command = [sys.executable, "-c", script, head.address, node_id]
    subprocess.run(command, env=ray_environ(), check=True, timeout=30)


def test_a_worker_that_hangs_is_replaced_and_may_wake_up_later(nodes: Nodes) -> None:
    installation = nodes.installation.with_environ(SYNC_WORKER_TIMEOUT_S="4")
    with installation.starting("--tenant", "takaro") as program:
        busy_on_both(nodes, program)
        hung = nodes.workers_on(0)[0]
        hung.send_signal(signal.SIGSTOP)
        run = ended(program, 200)
        if hung.is_running():
            hung.send_signal(signal.SIGCONT)

    assert run.code == 0, run.err
    (most,) = installation.query("SELECT max(attempts) FROM channel_sync_jobs")
    assert most["max"] > 1, "what it held was begun again elsewhere"
    installation.assert_complete("takaro", nodes.emulator)


def test_a_run_whose_whole_cluster_dies_says_so_and_is_resumed(
    nodes: Nodes, ray_head: RayHead
) -> None:
    with nodes.installation.starting("--tenant", "takaro") as program:
        busy_on_both(nodes, program)
        for each in (*nodes.pids, nodes.head.pid):
            kill_tree(each)
        run = ended(program, 200)

    assert run.code == 1, run.err
    assert "Traceback" not in run.err
    (job,) = nodes.installation.query("SELECT id::text, status FROM sync_jobs")
    elsewhere = nodes.installation.with_environ(
        RAY_ADDRESS=ray_head.address, SYNC_WORKER_RESOURCE=None
    )
    resumed = elsewhere.raysync("resume", "--job-id", job["id"], "--json")
    assert resumed.code == 0, resumed.err
    elsewhere.assert_complete("takaro", nodes.emulator)
