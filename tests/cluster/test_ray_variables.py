"""What Ray has read from the environment by the time a run begins."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TOLD = """
import raysync.driver, os
from ray._private import ray_constants
print(ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV, os.environ.get("RAY_AUTH_MODE"))
"""


@pytest.mark.parametrize(
    ("more", "told"),
    [
        pytest.param({}, "False token", id="a-local-ray-leaves-uv-alone-and-asks-for-its-token"),
        pytest.param({"RAY_AUTH_MODE": "disabled"}, "False disabled", id="what-is-set-stays"),
        pytest.param({"RAY_ADDRESS": "10.0.0.1:6379"}, "True None", id="a-cluster-is-the-users"),
    ],
)
def test_ray_is_told_before_it_is_imported(more: dict[str, str], told: str) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", TOLD], env=bare | more, capture_output=True, text=True, check=True
    )

    assert told == done.stdout.strip()
