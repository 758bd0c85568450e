"""Files that launch a cluster: valid for `ray up`, and consistent in all of deploy/."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "cluster.yaml", *sorted((ROOT / "deploy").glob("cluster-*.yaml"))]
PYTHON = "3.11"
"""Of all nodes; drivers, workers and Ray's own processes must have the same."""

_RAY_IMAGE = re.compile(r"rayproject/ray:([\w.]+)-py(\d)(\d+)")
_RAY_VERSION = re.compile(r"rayVersion: \"([\d.]+)\"")
_OWN_IMAGE = re.compile(r"\braysync:(\d[\w.]*)")
_NODE_PYTHON = re.compile(r"--python (\d[\d.]*)")


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def cluster(request: pytest.FixtureRequest) -> Any:
    """A file as it stands."""
    return yaml.safe_load(request.param.read_text())


def pinned(name: str) -> str:
    """The version of a package in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    (pin,) = [line for line in lines if line.startswith(f"{name}==")]
    return str(Requirement(pin).specifier).removeprefix("==")


def commands(cluster: Any) -> Iterator[str]:
    """Every shell command of a file."""
    for key, value in cluster.items():
        if key.endswith("_commands"):
            yield from value


def deployed() -> str:
    """All files that launch something."""
    places = [*(ROOT / "deploy").rglob("*"), ROOT / "cluster.yaml"]
    return "\n".join(path.read_text() for path in places if path.is_file())


def test_ray_finds_nothing_wrong_with_it(cluster: Any) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster))  # raises where anything is


def test_a_shell_finds_nothing_wrong_with_its_commands(cluster: Any) -> None:
    given = list(commands(cluster))

    assert len(given) > 5
    for command in given:
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_nodes_install_the_tested_versions(cluster: Any) -> None:
    installing = [each for each in cluster["setup_commands"] if "~/raysync" in each]

    assert installing
    assert all("-c ~/raysync/constraints.txt" in command for command in installing)
    assert all("--compile-bytecode" in command for command in installing)
    assert cluster["file_mounts"]["~/raysync"] == "."


def test_the_dashboard_is_on_loopback_and_asks_for_a_token(cluster: Any) -> None:
    (start,) = [each for each in cluster["head_start_ray_commands"] if "ray start" in each]

    assert "--dashboard-host=127.0.0.1" in start
    assert "~/.ray/auth_token" in cluster["file_mounts"]
    assert any("RAY_AUTH_MODE=token" in each for each in cluster["initialization_commands"])


def test_only_the_head_has_secrets_and_the_file_names_none(cluster: Any) -> None:
    starting = {key: cluster[f"{key}_start_ray_commands"] for key in ("head", "worker")}

    assert any("raysync.env" in each for each in starting["head"])
    assert not any("raysync.env" in each for each in starting["worker"])
    assert "rm -f ~/raysync.env" in cluster["worker_setup_commands"]
    assert not [
        command
        for command in commands(cluster)
        if "TOKEN=" in command or "postgresql://" in command
    ]


def test_workers_carry_the_resource_that_an_autoscaler_counts(cluster: Any) -> None:
    (start,) = [each for each in cluster["head_start_ray_commands"] if "ray start" in each]
    assert "SYNC_WORKER_RESOURCE=raysync_worker; " in start, "the driver asks for it"
    workers = cluster.get("available_node_types", {}).get("sync-worker")
    if workers is None:  # provider local: what a machine has is said where Ray starts on it
        (start,) = [each for each in cluster["worker_start_ray_commands"] if "ray start" in each]
        assert """--resources='{"raysync_worker":4}'""" in start
        assert cluster["min_workers"] == len(cluster["provider"]["worker_ips"])
        (start,) = [each for each in cluster["head_start_ray_commands"] if "ray start" in each]
        assert "RAY_enable_autoscaler_v2=0" in start, "the second one starts no machine of these"
        return
    assert workers["resources"]["raysync_worker"] == 4
    assert (workers["min_workers"], workers["max_workers"]) == (0, cluster["max_workers"])
    assert cluster["available_node_types"]["head"]["resources"] == {"CPU": 0}


def test_one_version_of_ray_and_of_python_everywhere() -> None:
    text = deployed()

    assert set(_RAY_IMAGE.findall(text)) == {(pinned("ray"), *PYTHON.split("."))}
    assert set(_RAY_VERSION.findall(text)) == {pinned("ray")}
    (python,) = set(_NODE_PYTHON.findall(text))
    assert re.fullmatch(rf"{re.escape(PYTHON)}\.\d+", python), "the patch, too"


def test_images_carry_the_version_of_this_checkout() -> None:
    from raysync import __version__

    assert set(_OWN_IMAGE.findall(deployed())) == {__version__}
