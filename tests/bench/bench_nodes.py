"""Throughput of 1, 2 and 4 nodes of one cluster with many tokens, and its bound.

    uv run python tests/bench/bench_nodes.py [--nodes 1,2,4] [--tokens 8] [--workers-per-node 2]

The nodes are processes of this machine, so its cores are what they share; the limits of Discord
are in force. Each token has a guild of its own. The baseline is one client for one guild, its
first channels, reckoned for all guilds, one after the other.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import GuildSpec
from tests.bench.discord_process import Offer, discord_limits, discord_process
from tests.bench.figures import (
    DENSEST,
    MESSAGES,
    RATE,
    REFUSALS,
    REQUESTS,
    SECONDS,
    WALL,
    Run,
    machine,
    table,
)
from tests.bench.harness import laboratory
from tests.cluster.installation import ray_environ
from tests.cluster.ray_head import joined_node, running_head

CHANNELS, PAGES_EACH, BASELINE_CHANNELS = 30, 4, 10
SPEC = GuildSpec.uniform(CHANNELS, PAGES_EACH * 100)
NODES, TOKENS, WORKERS_PER_NODE = (1, 2, 4), 8, 1
RESOURCE = "raysync_worker"


def measure(nodes: Sequence[int], tokens: int, workers_per_node: int) -> None:
    """Measure every number of nodes, and print the table."""
    each = f"{tokens} tokens, {CHANNELS} channels of {PAGES_EACH} pages each"
    print(f"{each}, {workers_per_node} workers a node; {machine()}", flush=True)
    runs: dict[str, list[Run]] = {}
    offer = Offer(SPEC, discord_limits(), tokens=tokens)
    with laboratory() as lab, discord_process(offer) as discord:
        one_s = lab.walk(discord, BASELINE_CHANNELS).took_s
        for count in nodes:
            with ExitStack() as stack:
                directory = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True)
                )
                head = stack.enter_context(running_head(Path(directory), ray_environ()))
                for _ in range(count):
                    offered = {RESOURCE: workers_per_node}
                    stack.enter_context(joined_node(head, ray_environ(), **offered))
                settings = {"RAY_ADDRESS": head.address, "SYNC_WORKER_RESOURCE": RESOURCE}
                runs[str(count)] = [lab.sync(discord, count * workers_per_node, settings)]
            print(f"  {count}: {runs[str(count)][0].took_s:.2f} s", flush=True)
    print(table("nodes", runs, SECONDS, MESSAGES, RATE, REQUESTS, REFUSALS, DENSEST, WALL))
    all_s = one_s * CHANNELS / BASELINE_CHANNELS * tokens
    print(f"\nOne discord.py client, guild after guild, channel after channel: {all_s:.0f} s.")
    for number, (run,) in runs.items():
        print(f"{number} nodes: {all_s / run.took_s:.1f} times faster.")


@pytest.mark.timeout(1_200)
def test_nodes() -> None:
    measure(NODES, TOKENS, WORKERS_PER_NODE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", default=",".join(map(str, NODES)))
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--workers-per-node", type=int, default=WORKERS_PER_NODE)
    given = parser.parse_args()
    measure([int(n) for n in given.nodes.split(",")], given.tokens, given.workers_per_node)
