"""Environment variables that Ray reads before a run starts."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.installation import ray_environ

SHIPPED = '{"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip"}}'
TOLD = """
import raysync.run.on_ray, os
from ray._private import ray_constants
print(ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV, os.environ.get("RAY_AUTH_MODE"))
"""


@pytest.mark.parametrize(
    ("more", "told"),
    [
        pytest.param({}, "False None", id="a-local-ray-leaves-uv-alone"),
        pytest.param({"RAY_AUTH_MODE": "disabled"}, "False disabled", id="what-is-set-stays"),
        pytest.param({"RAY_ADDRESS": "10.0.0.1:6379"}, "False None", id="a-cluster-gets-no-folder"),
        pytest.param(
            {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_JOB_CONFIG_JSON_ENV_VAR": SHIPPED},
            "True None",
            id="but-uses-one-that-was-shipped",
        ),
    ],
)
def test_ray_is_told_before_it_is_imported(more: dict[str, str], told: str) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", TOLD], env=bare | more, capture_output=True, text=True, check=True
    )

    assert told == done.stdout.strip()


_LOCAL_RAY = """
import os, pathlib, psutil, ray, time
from raysync.actors.runtime import connect, disconnect, open_dashboard

home = pathlib.Path(os.environ["RAYSYNC_HOME"])
runtime = connect(None, home, hidden=["A_SECRET", "NOT_SET"])
open_dashboard()
found = set()
reporting = set()
deadline = time.monotonic() + 20

def environment_of(process):
    try:
        return pathlib.Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return b""

def reports(held):
    # a process that sets its title clears the first variables, in the order that Ray gave them
    is_whole = b"HARMLESS" in held and not held.startswith(b"\\0")
    return is_whole and b"RAY_USAGE_STATS_ENABLED=0" not in held

for each in psutil.Process().children(recursive=True):
    held = environment_of(each)
    found |= {name for name in (b"A_SECRET", b"HARMLESS", b"RAY_AUTH_TOKEN=") if name in held}
    # the kernel reads it page by page, and the process may clear it in between
    while reports(held) and time.monotonic() < deadline:
        held = environment_of(each)
    if reports(held):
        reporting.add(each.name())
print(sorted(found), os.environ["A_SECRET"], ray.get(ray.remote(lambda: "works").remote()))
print(runtime.token_source, reporting, os.environ.get("RAY_USAGE_STATS_ENABLED"))
disconnect()
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_a_local_ray_inherits_no_secret_and_leaves_the_users_own_ray_alone(tmp_path: Path) -> None:
    """`~/.ray/auth_token` would turn on the token for every later `ray start` of the user."""
    environ = ray_environ() | {"A_SECRET": "hunter2", "HARMLESS": "x"}
    environ |= {"HOME": str(tmp_path), "RAYSYNC_HOME": str(tmp_path / "raysync")}
    environ |= {"RAY_AUTH_TOKEN": "the-token-of-some-cluster"}
    del environ["RAY_AUTH_MODE"], environ["RAY_USAGE_STATS_ENABLED"]
    done = subprocess.run(
        [sys.executable, "-c", _LOCAL_RAY],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    token = tmp_path / "raysync/ray_auth_token"
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[b'HARMLESS'] hunter2 works",
        f"{token} set() None",
    ]
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert not (tmp_path / ".ray/auth_token").exists()
