"""Only files that a user names are uploaded to a cluster, and never a secret."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest
import ray._private.worker as ray_worker
from ray._private import ray_constants
from ray.job_submission import JobStatus

from raysync.actors.uploads import nothing_uploaded
from raysync.errors import ConfigurationError
from raysync.submission.jobs import SubmissionEnd, _end_of
from raysync.submission.shipments import MOST_BYTES, checked_shipments
from tests.cluster.guilds import ServeTenant, tiny_world
from tests.cluster.installation import RUN_LIMIT_S, Installation
from tests.cluster.ray_head import RayHead
from tests.cluster.test_submission import info

ROOT = Path(__file__).parents[2]
DECOY = "what-somebody-wrote-in-private"
EXPORTED = {"id": "1", "channel_id": "2", "author": "u_1", "content": "hi", "created_at": "-"}
BOT_TOKEN = "A" * 24 + ".AbCdEf." + "h-_4" * 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that somebody works in."""
    made = tmp_path / "work"
    made.mkdir()
    (made / "private-export.jsonl").write_text(json.dumps(EXPORTED | {"content": DECOY}) + "\n")
    (made / ".env").write_text(f"DISCORD_TOKEN={DECOY}\n")
    return made


def packages(head: RayHead) -> set[str]:
    return {path.name for path in head.directory.rglob("_ray_pkg_*")}


def runtime_envs(head: RayHead) -> str:
    with urllib.request.urlopen(f"{head.dashboard_url}/api/jobs/", timeout=10) as answer:
        return json.dumps([each.get("runtime_env") for each in json.load(answer)])


def test_a_run_under_uv_uploads_nothing_of_the_folder_it_is_started_in(
    installation: Installation, ray_head: RayHead, folder: Path, serve_tenant: ServeTenant
) -> None:
    installation, _ = serve_tenant(installation, tiny_world(60), RAY_ENABLE_UV_RUN_RUNTIME_ENV=None)
    before = packages(ray_head)
    # Ray looks for a process that is called so, among all ancestors
    (folder / "uv").symlink_to(shutil.which("bash") or "/bin/bash")
    (folder / "run").write_text(f"'{sys.executable}' -m raysync start --json; exit $?\n")

    done = subprocess.run(
        [folder / "uv", "run"],
        env=installation.environ,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
    )

    assert done.returncode == 0, done.stderr
    assert packages(ray_head) == before
    assert str(folder) not in runtime_envs(ray_head)


@pytest.mark.parametrize(
    "runtime_env",
    [
        {"working_dir": "FOLDER"},
        {"py_modules": ["FOLDER"]},
        {"py_modules": ["s3://bucket/module.zip", "FOLDER"]},
        {"working_dir": "FOLDER/export.zip"},
    ],
)
def test_whoever_tells_ray_of_a_folder_nothing_of_it_is_uploaded(
    monkeypatch: pytest.MonkeyPatch, folder: Path, runtime_env: dict[str, object]
) -> None:
    monkeypatch.setenv("RAY_RUNTIME_ENV_HOOK", "somebodys.hook")
    named = json.loads(json.dumps(runtime_env).replace("FOLDER", str(folder)))

    with (
        nothing_uploaded(),
        pytest.raises(ConfigurationError, match=r"uploads only what.*--working-dir") as refused,
    ):
        ray_worker.upload_working_dir_if_needed(named, True, None)

    assert str(folder) in str(refused.value)
    assert "because of RAY_RUNTIME_ENV_HOOK" in str(refused.value)


def test_what_was_shipped_with_a_job_is_used_as_it_is() -> None:
    shipped = {"working_dir": "gcs://_ray_pkg_1.zip", "py_modules": ["gcs://_ray_pkg_2.zip"]}

    with nothing_uploaded():
        found = ray_worker.upload_py_modules_if_needed(dict(shipped), True, None)
        assert ray_worker.upload_working_dir_if_needed(found, True, None) == shipped


def test_rays_own_functions_are_back_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_constants, "RAY_ENABLE_UV_RUN_RUNTIME_ENV", True)
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    before = ray_worker.upload_working_dir_if_needed

    with nothing_uploaded():
        assert ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV is False
    assert ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV is True
    assert ray_worker.upload_working_dir_if_needed is before


# What a user ships


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    made = tmp_path / "checkout"
    (made / "raysync").mkdir(parents=True)
    (made / "raysync" / "__init__.py").write_text("")
    (made / "README.md").write_text("# raysync\n")
    (made / "report.html").write_text("<html><p>Made by hand</p></html>")
    (made / ".env.example").write_text("DISCORD_TOKEN=\n")
    (made / "data.json").write_text('{"log": "x", "text": "what was public before"}\n')
    return made


def test_a_checkout_is_shipped(checkout: Path) -> None:
    (shipment,) = checked_shipments({"working_dir": str(checkout)})

    assert (shipment.path, shipment.files) == (checkout, 5)


def test_this_checkout_is_shipped_as_the_docs_say() -> None:
    excludes = [".git", ".venv", ".ci", "dist", "tests", "docs", "deploy"]

    (shipment,) = checked_shipments({"working_dir": str(ROOT), "excludes": excludes})
    assert 100 < shipment.files < 2_000


def write_zipped(path: Path) -> None:
    with gzip.open(path, "wt") as opened:
        opened.write(json.dumps(EXPORTED | {"content": "x" * 5_000}) + "\n")


PRIVATE = {
    ".env": lambda path: path.write_text("A=1"),
    "raysync.env": lambda path: path.write_text("A=1"),
    ".env.production": lambda path: path.write_text("A=1"),
    "secret.key": lambda path: path.write_text("A"),
    "server.pem": lambda path: path.write_text("A"),
    "id_ed25519": lambda path: path.write_text("A"),
    "export.jsonl": lambda path: path.write_text(json.dumps(EXPORTED | {"content": "x" * 9_000})),
    "of-another-version.jsonl": lambda path: path.write_text("{}"),
    "archive.sqlite": lambda path: path.write_text(""),
    "export.txt": lambda path: path.write_text(json.dumps(EXPORTED) + "\n"),
    "export.jsonl.gz": write_zipped,
    "subject.jsonl": lambda path: path.write_text('{"kind": "message", "channel_id": "1"}'),
    "ready": lambda path: path.write_text('{"url": "http://127.0.0.1:1", "token": "x"}'),
    "ready.json": lambda path: path.write_text('{\n "url": "http://127.0.0.1:1",\n "token": "x"}'),
    "job.html": lambda path: path.write_text("x" * 9_000 + "Made by raysync 0.1.0 at 2026-01-01"),
    "token": lambda path: path.write_text(BOT_TOKEN + "\n"),
    "postgres/PG_VERSION": lambda path: (path.parent.mkdir(), path.write_text("16")),
}


@pytest.mark.parametrize("name", PRIVATE)
def test_what_must_stay_here_is_refused_unless_it_is_left_out(checkout: Path, name: str) -> None:
    PRIVATE[name](checkout / name)

    with pytest.raises(ConfigurationError, match="must not leave this machine") as refused:
        checked_shipments({"working_dir": str(checkout)})
    assert name in str(refused.value)
    assert ".rayignore" in str(refused.value)
    with pytest.raises(ConfigurationError, match="must not leave"):
        checked_shipments({"py_modules": [str(checkout)]})
    left_out = {"working_dir": str(checkout), "excludes": [name]}
    assert len(checked_shipments(left_out)) == 1
    (checkout / ".gitignore").write_text(f"{name}\n")
    assert len(checked_shipments({"working_dir": str(checkout)})) == 1


def test_nothing_of_raysyncs_own_folder_is_shipped(checkout: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "vault").mkdir(parents=True)
    (home / "vault" / "ab12").write_bytes(b"what somebody sent")
    with pytest.raises(ConfigurationError, match="vault/ab12"):
        checked_shipments({"working_dir": str(home)}, [home])
    (checkout / "data").symlink_to(home)
    with pytest.raises(ConfigurationError, match="data/vault/ab12"):
        checked_shipments({"working_dir": str(checkout)}, [home])


def test_an_archive_is_looked_into(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("code/main.py", "")
        archive.writestr("code/.env", "A=1")

    with pytest.raises(ConfigurationError, match="must not leave this machine"):
        checked_shipments({"working_dir": str(tmp_path / "code.zip")})


def test_a_folder_that_is_far_too_large_names_what_is(checkout: Path) -> None:
    with (checkout / "dump").open("wb") as large:
        large.truncate(MOST_BYTES + 1)

    with pytest.raises(ConfigurationError, match=r"dump \(100 MB\)"):
        checked_shipments({"working_dir": str(checkout)})


def test_what_is_remote_is_the_clusters_matter_and_what_is_not_there_a_sentence() -> None:
    assert checked_shipments({"working_dir": "https://example.org/code.zip"}) == []
    assert checked_shipments({}) == []
    with pytest.raises(ConfigurationError, match=r"/not/there .* does not exist"):
        checked_shipments({"working_dir": "/not/there"})


def test_a_head_without_raysync_is_a_sentence() -> None:
    log = "/usr/bin/python: No module named raysync\n"

    end = _end_of(info(JobStatus.FAILED, 1), log)
    assert (end.status, end.exit_code) == ("failed", 2)
    assert end.reason is not None
    assert "--working-dir" in end.reason
    assert _end_of(info(JobStatus.FAILED, 1), "it failed\n") == SubmissionEnd("failed", 1)
