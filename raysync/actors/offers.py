"""Resources and memory that the nodes of a cluster offer to workers.

Pure: the caller passes the descriptions of nodes and of node types.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from raysync.errors import ConfigurationError

WORKER_MEMORY_BYTES: Final = 170 * 1024 * 1024
"""Memory that a worker asks Ray for: its peak is 150 to 175 MB (tests/worker_memory.py)."""
MOST_NAMED: Final = 5
_CPU: Final = "CPU"
_MEMORY: Final = "memory"
_INTERNAL: Final = ("node:", "memory", "object_store_memory", "accelerator_type:")
"""Beginnings of the names of Ray's own resources."""

Resources = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class NodeType:
    """Type of the nodes that an autoscaler can start."""

    name: str
    resources: Resources  #: as configured; empty if the configuration names none
    most: int  #: maximum number of such nodes


@dataclass(frozen=True, slots=True)
class Placement:
    """Rules for the places of a run's workers."""

    bound: str | None = None  #: reason why workers must run on this machine; None: anywhere
    memory_bytes: int | None = None  #: memory that a worker asks for; None: it asks for none
    is_spread: bool = False  #: workers are spread over the nodes, instead of filling one first


def require_offered(
    nodes: Collection[Resources], types: Sequence[NodeType] | None, worker_resource: str | None
) -> None:
    """Raise ConfigurationError where no node has what a worker asks for, and none can come.

    *types* are the autoscaler's; empty without an autoscaler, None where they are unknown. A type
    without declared resources may offer anything, while it can still get nodes.
    """
    asked = worker_resource or _CPU
    if types is None or any(node.get(asked) for node in nodes):
        return
    coming = [node_type for node_type in types if node_type.most > 0]
    room = sum(node_type.most for node_type in coming) + 1 - len(nodes)  # beside the head
    for node_type in coming:
        if node_type.resources.get(asked) or (not node_type.resources and room > 0):
            return
    raise ConfigurationError(
        f"No node of the Ray cluster offers {_asked(worker_resource)}"
        f"{', and no type of node that its autoscaler starts does' if coming else ''}: "
        f"{_offered(nodes, coming)}. {_advice(worker_resource)}"
    )


def fitting_memory(
    nodes: Collection[Resources], types: Sequence[NodeType] | None, worker_resource: str | None
) -> int | None:
    """Return the memory that a worker may ask for; None where a worker could wait for ever.

    An autoscaler starts no node for an amount that its types of nodes do not declare.
    """
    if types is None:
        return None
    asked = worker_resource or _CPU
    suitable = [node for node in nodes if node.get(asked)]
    suitable += [
        node_type.resources
        for node_type in types
        if node_type.most > 0 and node_type.resources.get(asked)
    ]
    if any(not node_type.resources for node_type in types if node_type.most > 0):
        return None
    is_enough = all(each.get(_MEMORY, 0) >= WORKER_MEMORY_BYTES for each in suitable)
    return WORKER_MEMORY_BYTES if suitable and is_enough else None


def _asked(worker_resource: str | None) -> str:
    if worker_resource is None:
        return "a CPU, which workers need"
    return f"the resource {worker_resource}, which SYNC_WORKER_RESOURCE names"


def _offered(nodes: Iterable[Resources], types: Sequence[NodeType]) -> str:
    parts = [f"its nodes offer {_named(nodes)}"]
    parts += [
        f"nodes of type {node_type.name} offer {_named([node_type.resources])}"
        for node_type in types[:MOST_NAMED]
    ]
    return "; ".join(parts)


def _named(offers: Iterable[Resources]) -> str:
    names = sorted(
        {
            name
            for offer in offers
            for name, amount in offer.items()
            if amount and not name.startswith(_INTERNAL)
        }
    )
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}" if names else "nothing that workers can use"


def _advice(worker_resource: str | None) -> str:
    if worker_resource is None:
        return "Set SYNC_WORKER_RESOURCE to a resource of the nodes that shall run workers."
    return (
        "Correct SYNC_WORKER_RESOURCE, or start a node with this resource: "
        f"ray start --address=HEAD:6379 --resources='{{\"{worker_resource}\": 4}}'."
    )
