"""cluster.yaml, as `ray up` reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster.yaml"


@pytest.fixture
def cluster() -> Any:
    """The file as it stands."""
    return yaml.safe_load(CLUSTER.read_text())


def test_ray_finds_nothing_wrong_with_it(cluster: Any) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster))  # raises where anything is


def test_nodes_install_the_tested_versions(cluster: Any) -> None:
    installing = [each for each in cluster["setup_commands"] if "~/raysync" in each]

    assert installing
    assert all("-c ~/raysync/constraints.txt" in each for each in installing)
    assert cluster["file_mounts"]["~/raysync"] == "."
