"""A run as a job of a Ray cluster: `ray job submit … -- python -m raysync start`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import make_url

from raysync.emulator import Action, Emulator, FaultRule
from raysync.emulator.faults import FaultScript
from tests.cluster.guilds import MESSAGES, served, wide_world
from tests.cluster.installation import RUN_LIMIT_S, SECRET_KEY, TOKEN, Installation, ray_environ
from tests.cluster.midrun import pages_read, wait_for_pages
from tests.cluster.ray_head import RayHead, running_head

DATABASE_PASSWORD = "a-database-password.nobody-may-see"
SECRETS = (TOKEN, SECRET_KEY, DATABASE_PASSWORD)
SUBMISSION = "raysync-takaro-1"
ENTRYPOINT = ["python", "-m", "raysync", "start", "--tenant=takaro"]
METADATA = {"job_name": "sync of takaro"}
"""As docs/cluster.md advises: Ray's list of jobs has a column for it."""
CHANNELS, PAGES = 6, 8
SHOWN = (
    "/api/jobs/",
    f"/api/jobs/{SUBMISSION}",
    "/api/v0/actors?detail=1",
    "/api/v0/tasks?detail=1",
)
"""What Ray tells anybody who may see its dashboard."""


@dataclass(frozen=True, slots=True)
class OwnCluster:
    """A head whose environment has what a driver needs, as operators set it up."""

    head: RayHead
    installation: Installation
    emulator: Emulator

    def submitting(
        self, entrypoint: Sequence[str] = ENTRYPOINT, submission: str = SUBMISSION
    ) -> subprocess.Popen[str]:
        """`ray job submit`, run by somebody who knows none of the secrets."""
        named = ("--submission-id", submission, "--metadata-json", json.dumps(METADATA))
        return self._ray_job("submit", *named, "--", *entrypoint)

    def stop(self) -> None:
        """`ray job stop`, which returns when the job has ended."""
        with self._ray_job("stop", SUBMISSION) as client:
            out, err = client.communicate(timeout=RUN_LIMIT_S)
        assert client.returncode == 0, out + err

    def _ray_job(self, what: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "job", what]
        command += ["--address", self.head.dashboard_url, *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=ray_environ(), stdout=pipe, stderr=pipe, text=True)

    def shown(self, path: str) -> str:
        """An answer of Ray's dashboard."""
        with urllib.request.urlopen(self.head.dashboard_url + path, timeout=20) as answer:
            return str(answer.read().decode())

    def arguments(self) -> str:
        """The command lines and titles of all processes of the cluster."""
        lines = []
        for process in psutil.Process(self.head.pid).children(recursive=True):
            try:
                lines.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return "\n".join(lines)

    def everything_shown(self) -> dict[str, str]:
        """What Ray and the system show of a run, by where."""
        return {path: self.shown(path) for path in SHOWN} | {"arguments": self.arguments()}

    def files(self) -> dict[str, str]:
        """What is on disk of the sessions, the driver's log too, by path."""
        return {
            str(path): path.read_bytes().decode(errors="replace")
            for path in self.head.directory.rglob("*")
            if path.is_file() and not path.is_symlink()
        }


@pytest.fixture
def cluster(without_ray: Installation) -> Iterator[OwnCluster]:
    world = wide_world(CHANNELS, PAGES)
    (guild_id,) = world.guilds
    url = make_url(without_ray.database_url).set(password=DATABASE_PASSWORD)
    plain_url = url.render_as_string(hide_password=False)
    with (
        served(world) as emulator,
        tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as directory,
    ):
        installation = without_ray.for_emulator(emulator).with_environ(
            RAYSYNC_DATABASE_URL=plain_url,
            SYNC_MAX_CHANNEL_WORKERS="2",
            RAY_JOB_STOP_WAIT_TIME_S="60",  # as cluster.yaml sets it
            PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        )
        installation.add_tenant("takaro", guild_id)
        with running_head(Path(directory), installation.environ) as head:
            yield OwnCluster(head, installation, emulator)


def test_a_submitted_run_completes_and_shows_no_secret_anywhere(cluster: OwnCluster) -> None:
    with cluster.submitting() as client:
        wait_for_pages(cluster.emulator, 25, client)
        during = cluster.everything_shown()
        out, err = client.communicate(timeout=RUN_LIMIT_S)

    assert client.returncode == 0, out + err
    assert json.loads(cluster.shown(f"/api/jobs/{SUBMISSION}"))["driver_exit_code"] == 0
    cluster.installation.assert_complete("takaro", cluster.emulator)
    jobs = cluster.installation.query("SELECT ray_job_id, status FROM sync_jobs")
    assert jobs == [{"ray_job_id": SUBMISSION, "status": "completed"}]

    assert_names_tell_tenant_and_role(cluster.shown("/api/v0/actors?detail=1"))
    assert_tasks_are_few_and_none_failed(cluster.shown("/api/v0/tasks?detail=1"))
    (job,) = [each for each in json.loads(cluster.shown("/api/jobs/")) if each["submission_id"]]
    assert job["metadata"]["job_name"] == METADATA["job_name"]
    assert_actors_log_with_times(cluster.files())

    after = cluster.everything_shown() | {"the client": out + err}
    assert_told_without_secrets(during, "--tenant=takaro", "/api/v0/tasks")
    assert_told_without_secrets(after, "--tenant=takaro", "the client")
    assert_told_without_secrets(cluster.files(), "takaro: completed", "job-driver-")


def test_a_job_that_ray_stops_is_seen_from_elsewhere_and_resumed(cluster: OwnCluster) -> None:
    elsewhere = cluster.installation.with_environ(RAY_ADDRESS=None, DISCORD_TOKEN=None)
    slowly = FaultRule(Action.PASS, route=MESSAGES, delay_s=1.5)  # while others look
    cluster.emulator.faults = FaultScript(slowly)
    with cluster.submitting() as client:
        wait_for_pages(cluster.emulator, 15, client)
        (during,) = json.loads(elsewhere.raysync("status", "--json").out)["jobs"]
        cluster.stop()
        client.communicate(timeout=RUN_LIMIT_S)

    told = json.loads(cluster.shown(f"/api/jobs/{SUBMISSION}"))
    assert (during["status"], during["ray_job_id"]) == ("running", SUBMISSION)
    assert told["status"] == "STOPPED"
    (after,) = json.loads(elsewhere.raysync("status", "--json").out)["jobs"]
    assert (after["job_id"], after["status"]) == (during["job_id"], "cancelled")
    assert pages_read(cluster.emulator) < CHANNELS * PAGES, "it was stopped in mid-run"
    cluster.emulator.faults = FaultScript()

    resume = ["python", "-m", "raysync", "resume", "--job-id", after["job_id"]]
    with cluster.submitting(resume, "raysync-takaro-2") as client:
        out, err = client.communicate(timeout=RUN_LIMIT_S)

    assert client.returncode == 0, out + err
    cluster.installation.assert_complete("takaro", cluster.emulator)
    (ended,) = json.loads(elsewhere.raysync("status", "--json").out)["jobs"]
    assert (ended["job_id"], ended["status"]) == (during["job_id"], "completed")
    assert pages_read(cluster.emulator) < (CHANNELS + 2) * PAGES, "little is read again"


def assert_names_tell_tenant_and_role(actors: str) -> None:
    rows: list[dict[str, Any]] = json.loads(actors)["data"]["result"]["result"]
    names = {row["class_name"]: row["name"] for row in rows}

    run = names["ProgressTracker"].removesuffix("/tracker")
    assert run.startswith("raysync/takaro/")
    assert names["ChannelSyncActor"] in {f"{run}/worker-0", f"{run}/worker-1"}
    assert names["RateLimitGovernor"].startswith("raysync/governor/")


def assert_tasks_are_few_and_none_failed(tasks: str) -> None:
    """One row a method in the summary of tasks, and the channels' visits among them."""
    rows: list[dict[str, Any]] = json.loads(tasks)["data"]["result"]["result"]
    assert [row for row in rows if row["state"] == "FAILED"] == []
    names = {row["name"] for row in rows if row["type"] == "ACTOR_TASK"}
    assert "ChannelSyncActor.sync_channel takaro" in names
    assert [name for name in names if "worker-" in name] == [], "a row for each worker"
    methods = {name.partition(" ")[0] for name in names}
    assert len(methods) == len(names), "a method has several names"


def assert_actors_log_with_times(files: dict[str, str]) -> None:
    lines = [
        line
        for path, text in files.items()
        if "worker-" in path and path.endswith(".err")
        for line in text.splitlines()
        if " INFO " in line
    ]
    assert lines, "actors logged nothing"
    assert all(
        re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+00:00 INFO ", line) for line in lines
    )


def assert_told_without_secrets(told: dict[str, str], word: str, place: str) -> None:
    """No secret is in *told*; *word* is, else this would look in the wrong places."""
    assert any(word in text for text in told.values())
    assert any(place in line for line in told)
    for where, text in told.items():
        for secret in SECRETS:
            assert secret not in text, where
