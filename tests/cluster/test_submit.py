"""`raysync submit` to a cluster that requires Ray's token, which is the default."""

from __future__ import annotations

import json
import os
import platform
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

import psycopg
import pytest
import ray
from sqlalchemy import make_url

from raysync.emulator import (
    Action,
    Emulator,
    FaultRule,
    GuildSpec,
    generate_guild,
)
from raysync.emulator.faults import FaultScript
from tests.cluster.guilds import MESSAGES, served, wide_world
from tests.cluster.installation import (
    RUN_LIMIT_S,
    SECRET_KEY,
    TOKEN,
    Ended,
    Installation,
    ended,
    environ_of,
    ray_environ,
)
from tests.cluster.midrun import pages_read
from tests.cluster.ray_head import RayHead, running_head
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
RAY_TOKEN = "the-token-of-this-ray-" + "x" * 20
OTHER_TOKEN = "the-token-of-another-ray-" + "x" * 20
NOT_THERE = {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1", "RAY_ADDRESS": "127.0.0.1:1"}
"""What a shell may have set for other uses; --address counts more."""
TAKARO, BEACON = "takaro", "beacon"  # a wide guild, and a tiny one
BEACON_TOKEN = "beacons-token.that-nobody.may-see"


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who may submit to the cluster, and knows none of raysync's secrets."""

    head: RayHead
    installation: Installation
    emulator: Emulator

    @property
    def _to(self) -> tuple[str, str]:
        return ("--address", self.head.dashboard_url)

    def submitting(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        known = ray_environ() | {"RAY_AUTH_TOKEN": RAY_TOKEN}
        del known["RAY_AUTH_MODE"]  # the dashboard says whether it requires the token
        return subprocess.Popen(
            [sys.executable, "-m", "raysync", "submit", *self._to, *arguments],
            env=known | NOT_THERE | environ,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def submit(self, *arguments: str, **environ: str) -> Ended:
        with self.submitting(*arguments, **environ) as program:
            return ended(program, RUN_LIMIT_S)

    def details(self, submission_id: str) -> dict[str, Any]:
        """What Ray tells of a job."""
        request = urllib.request.Request(
            f"{self.head.dashboard_url}/api/jobs/{submission_id}",
            headers={"Authorization": f"Bearer {RAY_TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return dict(json.loads(answer.read()))


@pytest.fixture(scope="module")
def cluster(postgres_url: str, template_url: str) -> Iterator[Operator]:
    """A head whose environment has what a driver needs, and two tenants."""
    name = "of_the_token_cluster"
    with psycopg.connect(postgres_url, autocommit=True) as session:
        template = make_url(template_url).database
        session.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    world = wide_world(channels=6, pages=8)
    (takaro,) = world.guilds
    beacon = world.add_guild(generate_guild(GuildSpec.tiny(), seed=9))
    world.add_bot(BEACON_TOKEN, [beacon.id], name="beacon")
    with ExitStack() as stack:
        emulator = stack.enter_context(served(world))
        directory = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True)
        )
        installation = Installation(url, environ_of(url, f"{directory}/home")).for_emulator(
            emulator
        )
        installation = installation.with_environ(
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=RAY_TOKEN,
            BEACON_TOKEN=BEACON_TOKEN,
            SYNC_MAX_CHANNEL_WORKERS="2",
            PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        )
        installation.add_tenant(TAKARO, takaro)
        installation.add_tenant(BEACON, beacon.id, "env:BEACON_TOKEN")
        head = stack.enter_context(running_head(Path(directory), installation.environ))
        yield Operator(head, installation, emulator)


def test_ctrl_c_stops_the_job_cleanly_and_a_second_submission_is_refused_meanwhile(
    cluster: Operator,
) -> None:
    slowly = FaultRule(Action.PASS, route=MESSAGES, delay_s=3.0)  # while another one is refused
    cluster.emulator.faults = FaultScript(slowly)
    read = pages_read(cluster.emulator)
    with cluster.submitting("--json", "--", "start", "--tenant=takaro", "--full") as program:
        try:
            wait_until(lambda: program.poll() or pages_read(cluster.emulator) > read, 120)
            second = cluster.submit("--", "start", "--tenant", "takaro")
            program.send_signal(signal.SIGINT)
            first = ended(program)
        finally:
            cluster.emulator.faults = FaultScript()

    told = json.loads(first.out)
    assert first.code == told["exit_code"] == 130, first.err
    assert told["status"] == "stopped"
    assert told["tenant"] == TAKARO
    assert "takaro: job" in first.err, "the driver's log comes to stderr"
    of_it = "SELECT status FROM sync_jobs WHERE ray_job_id = %s"
    jobs = cluster.installation.query(of_it, told["submission_id"])
    assert jobs == [{"status": "cancelled"}]
    assert second.code == 2
    assert told["submission_id"] in second.err

    shown = json.dumps(cluster.details(told["submission_id"]))
    assert "RAY_JOB_STOP_WAIT_TIME_S" in shown
    for secret in (TOKEN, BEACON_TOKEN, SECRET_KEY, RAY_TOKEN, cluster.installation.database_url):
        assert secret not in shown + first.err + first.out
    assert told["submission_id"] in cluster.installation.raysync("status", "--tenant=takaro").out


def test_a_checkout_is_shipped_and_its_job_ends_with_the_drivers_own_code(
    cluster: Operator,
) -> None:
    (guild_id,) = cluster.emulator.world.bots[BEACON_TOKEN].guild_ids
    channels = cluster.emulator.world.guilds[guild_id].every_channel()
    broken = max(channels, key=lambda each: len(each.log.ids))
    refused = {"message": "Missing Access", "code": 50001}
    cluster.emulator.faults = FaultScript(
        FaultRule(Action.ANSWER, route=MESSAGES, channel_id=broken.id, status=403, body=refused)
    )
    shipped = ("--working-dir", str(ROOT), "--runtime-env", "jobs/runtime_env.yaml")
    try:
        run = cluster.submit(*shipped, "--", "start", "--tenant=beacon", "--full")
    finally:
        cluster.emulator.faults = FaultScript()

    assert run.code == 3, run.err
    assert run.out == ""
    assert run.err.count("beacon: job") == 1, "each line of the log once"


@pytest.mark.slow
def test_an_unknown_tenant_is_2_there_and_here(cluster: Operator) -> None:
    run = cluster.submit("--", "start", "--tenant=nobody")

    assert run.code == 2
    assert "There is no tenant nobody" in run.err


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        pytest.param({"RAY_AUTH_MODE": "disabled"}, "Unset RAY_AUTH_MODE", id="none-sent"),
        pytest.param({"RAY_AUTH_TOKEN": ""}, "here there is none", id="no-token-here"),
        pytest.param(
            {"RAY_AUTH_TOKEN": OTHER_TOKEN}, "refuses the token in RAY_AUTH_TOKEN", id="another"
        ),
    ],
)
def test_a_token_that_is_missing_or_wrong_is_a_sentence(
    cluster: Operator, tmp_path: Path, environ: dict[str, str], sentence: str
) -> None:
    run = cluster.submit("--", "start", "--tenant=takaro", **{"HOME": str(tmp_path)} | environ)

    assert (run.code, run.out) == (2, "")
    assert sentence in run.err
    assert len(run.err.splitlines()) == 1, "and no line of Ray's own"
    assert OTHER_TOKEN not in run.err


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        pytest.param({"RAY_AUTH_TOKEN": None}, "here there is none", id="no-token-here"),
        pytest.param({"RAY_AUTH_MODE": "disabled"}, "Unset RAY_AUTH_MODE", id="none-sent"),
        pytest.param(
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": OTHER_TOKEN},
            "refuses the token in RAY_AUTH_TOKEN",
            id="another",
        ),
    ],
)
def test_a_run_that_joins_with_no_token_or_another_says_so_at_once(
    cluster: Operator, tmp_path: Path, environ: dict[str, str | None], sentence: str
) -> None:
    joining = {"RAY_ADDRESS": cluster.head.address, "RAY_AUTH_MODE": None, "HOME": str(tmp_path)}
    installation = cluster.installation.with_environ(**joining | environ)
    run = installation.start("--tenant=takaro")

    assert (run.code, run.out) == (2, "")
    assert sentence in run.err
    assert len(run.err.splitlines()) == 1, "Ray's own warnings would be twenty"
    assert OTHER_TOKEN not in run.err

    (check,) = ray_checks(installation)
    assert check["status"] == "fail"
    assert sentence in check["says"]


def ray_checks(installation: Installation) -> list[dict[str, Any]]:
    """What `raysync doctor` says of the cluster."""
    found = json.loads(installation.raysync("doctor", "--json").out)
    return [check for check in found["checks"] if check["name"] == "ray"]


def test_a_run_that_joins_sends_the_token_that_the_head_asks_for(cluster: Operator) -> None:
    installation = cluster.installation.with_environ(
        RAY_ADDRESS=cluster.head.address, RAY_AUTH_MODE=None
    )

    (check,) = ray_checks(installation)
    assert check["status"] == "ok"
    assert f"Ray {ray.__version__} with Python {platform.python_version()}" in check["says"]
    run = installation.start("--tenant=beacon")

    assert run.code in (0, 3), run.err  # another test may have left it a dead letter
    assert run.job["parallel_stats"]["total_api_calls"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("job", ["nightly.py", "sync_all.py", "sync.py beacon", "verify.py beacon"])
def test_an_entry_point_is_submitted_from_a_checkout(cluster: Operator, job: str) -> None:
    environ = ray_environ() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": RAY_TOKEN}
    command = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit"]
    command += ["--address", cluster.head.dashboard_url, "--working-dir", str(ROOT)]
    command += ["--runtime-env", "jobs/runtime_env.yaml", "--", "python", *f"jobs/{job}".split()]

    done = subprocess.run(
        command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=RUN_LIMIT_S
    )

    assert done.returncode == 0, done.stdout + done.stderr
