"""Exit codes of real runs for every kind of output, and errors of Ray's start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminals import SETTINGS, Ended, Place, Setting, run_in
from tests.cluster.guilds import ServeTenant, served_tenant, tiny_world
from tests.cluster.installation import Installation

NAMES = ["ascii >full"]
SLOW = ["pipe", "C, ascii", "ascii", "latin-1", ">full", ">closed", ">gone", "both closed"]
SLOW += ["2>full", "2>closed", "both gone"]


def setting_of(name: str) -> Setting:
    (found,) = [each for each in SETTINGS if each.name == name]
    return found


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
def test_a_good_run_ends_with_0(
    installation: Installation, name: str, as_json: bool, serve_tenant: ServeTenant
) -> None:
    if name in NAMES and as_json:
        pytest.skip("one run is enough for every day")
    setting = setting_of(name)
    installation, emulator = serve_tenant(installation, tiny_world())
    arguments = ["start", "--tenant", "takaro", *(["--json"] if as_json else [])]

    ended = run_in(setting, arguments, environ=installation.environ)

    assert ended.code == 0, ended.stderr
    installation.assert_complete("takaro", emulator)
    assert_harmless(ended)
    if setting.stdout is Place.PIPE:
        assert b"takaro" in ended.stdout
        assert setting.name != "ascii" or (ended.stdout + ended.stderr).isascii()
        assert not as_json or json.loads(ended.stdout)["jobs"][0]["status"] == "completed"
    elif setting.stderr is Place.PIPE:
        assert b"The result is not shown completely" in ended.stderr


def assert_harmless(ended: Ended) -> None:
    for sign in (b"Traceback", b"Exception ignored", b"Unexpected", b"Logging error"):
        assert sign not in ended.stderr


@pytest.mark.slow
def test_a_path_too_long_for_rays_sockets_is_said_with_what_to_do(
    without_ray: Installation, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()

    ended = start_failing(without_ray.with_environ(TMPDIR=str(long)), "")

    assert ended.code == 1, "the job had begun"
    (job,) = json.loads(ended.stdout)["jobs"]
    assert job["status"] == "failed"
    assert "AF_UNIX path length cannot exceed 107 bytes" in job["errors"][0]["error"]
    assert "Set RAY_TMPDIR" in job["errors"][0]["error"]
    assert f"raysync resume --job-id {job['job_id']}".encode() in ended.stderr
    assert_harmless(ended)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [40, 64])
def test_too_few_open_files_are_said_with_what_to_do(without_ray: Installation, limit: int) -> None:
    ended = start_failing(without_ray, f"ulimit -n {limit};")

    assert ended.code in (1, 2), ended.stderr
    assert b"ulimit" in ended.stdout + ended.stderr
    assert_harmless(ended)


def start_failing(installation: Installation, before: str) -> Ended:
    """Run `raysync start` after the shell command *before*."""
    command = [sys.executable, "-m", "raysync", "start", "--tenant", "takaro", "--json"]
    with served_tenant(installation, tiny_world()) as (installation, _):
        done = subprocess.run(
            ["/bin/sh", "-c", f'{before} exec "$@"', "sh", *command],
            env=dict(installation.environ),
            capture_output=True,
            timeout=100,
            check=False,
        )
    return Ended(done.returncode, done.stdout, done.stderr)
