"""Resources of a cluster: what nobody can offer is refused at once, and memory fits or is left."""

from __future__ import annotations

import pytest

from raysync.actors.offers import (
    WORKER_MEMORY_BYTES,
    NodeType,
    fitting_memory,
    require_offered,
)
from raysync.errors import ConfigurationError

MEMORY = 4.0 * WORKER_MEMORY_BYTES
HEAD = {"node:__internal_head__": 1.0, "node:10.0.0.1": 1.0, "memory": MEMORY}
WORKER = {"CPU": 2.0, "raysync_worker": 4.0, "memory": MEMORY, "node:10.0.0.2": 1.0}
GROWING = NodeType("sync-worker", {"CPU": 2.0, "raysync_worker": 4.0, "memory": MEMORY}, 8)
HEAD_TYPE = NodeType("head", {"CPU": 2.0, "gpu_of_heads": 1.0}, 0)
SILENT = NodeType("local.cluster.node", {}, 2)


def test_a_resource_of_a_node_is_offered() -> None:
    require_offered([HEAD, WORKER], [], "raysync_worker")
    require_offered([HEAD, WORKER], [], None)


def test_a_resource_that_no_node_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigurationError) as refused:
        require_offered([HEAD, WORKER], [], "raysync_wroker")

    said = str(refused.value)
    assert said.startswith(
        "No node of the Ray cluster offers the resource raysync_wroker, which SYNC_WORKER_RESOURCE "
        "names: its nodes offer CPU, raysync_worker. Correct SYNC_WORKER_RESOURCE"
    )
    assert "10.0.0" not in said


def test_without_a_resource_a_cluster_of_heads_without_cpus_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="offers a CPU, which workers need: its nodes"):
        require_offered([HEAD], [], None)


def test_a_resource_that_an_autoscaler_can_start_is_waited_for() -> None:
    require_offered([HEAD], [HEAD_TYPE, GROWING], "raysync_worker")
    require_offered([HEAD], None, "raysync_worker")  # a KubeRay autoscaler keeps its types


@pytest.mark.parametrize("mistyped", ["raysync_wroker", "gpu_of_heads"])
def test_a_resource_that_no_type_of_node_has_is_refused_with_those_of_the_types(
    mistyped: str,
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        require_offered([HEAD], [HEAD_TYPE, GROWING], mistyped)

    said = str(refused.value)
    assert "no type of node that its autoscaler starts does" in said
    assert "nodes offer nothing that workers can use" in said
    assert "nodes of type sync-worker offer CPU, raysync_worker." in said


def test_a_type_that_declares_nothing_may_offer_anything_until_all_its_nodes_are_there() -> None:
    require_offered([HEAD, WORKER], [SILENT], "raysync_wroker")

    with pytest.raises(ConfigurationError):
        require_offered([HEAD, WORKER, WORKER], [SILENT], "raysync_wroker")


def test_workers_ask_for_memory_where_each_suitable_node_has_it() -> None:
    small = WORKER | {"memory": WORKER_MEMORY_BYTES - 1.0}

    assert fitting_memory([HEAD, WORKER], [], "raysync_worker") == WORKER_MEMORY_BYTES
    assert fitting_memory([HEAD], [GROWING], "raysync_worker") == WORKER_MEMORY_BYTES
    assert fitting_memory([HEAD, small], [], "raysync_worker") is None
    assert fitting_memory([small | HEAD, WORKER], [], None) == WORKER_MEMORY_BYTES


@pytest.mark.parametrize(
    "types",
    [None, [SILENT], [NodeType("bare", {"raysync_worker": 4.0}, 8)]],
    ids=["unknown", "silent", "without memory"],
)
def test_workers_ask_for_no_memory_that_an_autoscaler_does_not_know(
    types: list[NodeType] | None,
) -> None:
    """It starts no node for a demand that its types cannot meet, and workers would wait."""
    assert fitting_memory([HEAD, WORKER], types, "raysync_worker") is None
