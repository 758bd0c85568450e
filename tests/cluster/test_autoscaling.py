"""Autoscaling: nodes start while channels wait, and stop when the work is done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.cluster.fake_cloud import INSIDE, NAMESPACES, world
from tests.cluster.installation import Installation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None,
        reason="namespaces need root and unshare",
    ),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("autoscaler", ["v1", "v2"])
def test_nodes_come_and_go_with_the_work(without_ray: Installation, autoscaler: str) -> None:
    (guild_id,) = world().guilds
    without_ray.add_tenant("takaro", guild_id)
    installation = without_ray.with_environ(
        SYNC_WORKER_RESOURCE="raysync_worker",
        SYNC_MAX_CHANNEL_WORKERS="6",
        SYNC_CHANNEL_BATCH_SIZE="4",
        SYNC_RETRY_DELAY_MS="50",
    )
    program = [sys.executable, "-m", "tests.cluster.fake_cloud", autoscaler]

    done = subprocess.run(
        [*NAMESPACES, "bash", "-c", INSIDE, "inside", *program],
        env=installation.environ,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout)
    print(autoscaler, seen["nodes"])
    assert seen["code"] == 0, seen["err"]
    counts = [int(what.split()[0]) for _, what in seen["nodes"] if what.endswith("nodes")]
    assert counts[0] == 1
    assert max(counts) >= 4
    assert counts[-1] == 1
