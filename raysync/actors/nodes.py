"""Nodes of a cluster: whether they can run raysync's workers, and which of them drain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import ray
from ray import cloudpickle
from ray._private.state import state as ray_state
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysync import __version__
from raysync.actors import probe
from raysync.actors.offers import NodeType, Placement, fitting_memory, require_offered
from raysync.background import in_thread
from raysync.errors import ConfigurationError
from raysync.reasons import reason_of

_log = logging.getLogger(__name__)

DRAINING_PERIOD_S = 5.0
"""Seconds between checks for draining nodes; clouds give 30 s to two minutes of notice."""
DRAINING_S = 10.0
"""Timeout of one check for draining nodes, in seconds."""
ANSWER_S = 20.0
"""Timeout for a node's answer. A slower node is not checked: its workers will report."""
NODES_S = 60.0
"""Timeout of a check of all nodes, in seconds. Its calls have shorter timeouts."""
_HEAD: Final = "node:__internal_head__"
_SHOWN: Final = 3
HOW_TO_INSTALL: Final = (
    f"Install raysync {__version__} on all nodes of the cluster (docs/cluster.md), or ship this "
    "version with the run: raysync submit --working-dir DIR."
)

Nodes = Mapping[str, Mapping[str, Any]]
"""Ray's description of each node, by the node's id."""


def this_node() -> str:
    """Return the id of the node that this process runs on."""
    return str(ray.get_runtime_context().get_node_id())


async def place_workers(bound: str | None, worker_resource: str | None) -> Placement:
    """Return `_placement` without blocking the loop.

    Raises:
        ConfigurationError: see `_placement`; or the cluster does not answer.
    """
    try:
        return await in_thread(partial(_placement, bound, worker_resource), NODES_S)
    except TimeoutError:
        raise ConfigurationError(
            f"The Ray cluster has not described its nodes for {NODES_S:.0f} s. Check it with "
            "`ray status`, and try again."
        ) from None


def _placement(bound: str | None, worker_resource: str | None) -> Placement:
    """Return the places of a run's workers.

    *bound* is the reason why workers may not run on other machines, if there is one.

    A cluster may get other nodes later, so `RemoteWorker` checks again.

    Raises:
        ConfigurationError: workers would run on other machines, a node lacks this raysync, or no
            node offers what a worker asks for.
    """
    alive = _alive()
    if bound is not None:
        _refuse_elsewhere(bound, alive, worker_resource)
    used = _used(alive, worker_resource)
    found = _ask(used, str(ray.get_runtime_context().gcs_address).rpartition(":")[2])
    refuse_unlike({id_: survey.raysync for id_, survey in found.items()}, used)
    types = next((survey.types for id_, survey in found.items() if _is_head(used[id_])), None)
    resources = [node["Resources"] for node in alive.values()]
    require_offered(resources, types, worker_resource)
    memory = fitting_memory(resources, types, worker_resource)
    if memory is None:
        _log.info("workers ask for no memory, because not every node declares enough")
    # An autoscaler gives back nodes without actors, so workers fill one node after another there.
    return Placement(bound, memory, is_spread=types == [] and bound is None)


def require_nodes(worker_resource: str | None) -> None:
    """Raise ConfigurationError where a node that a run uses lacks this version of raysync."""
    used = _used(_alive(), worker_resource)
    refuse_unlike({id_: survey.raysync for id_, survey in _ask(used).items()}, used)


def _alive() -> Nodes:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # untyped in Ray
    return {node["NodeID"]: node for node in nodes if node["Alive"]}


def _used(alive: Nodes, worker_resource: str | None) -> Nodes:
    """Return the nodes on which a run has actors: the head, and those where workers fit."""
    return {
        id_: node
        for id_, node in alive.items()
        if _is_head(node) or node["Resources"].get(worker_resource or "CPU")
    }


def _is_head(node: Mapping[str, Any]) -> bool:
    return bool(node["Resources"].get(_HEAD))


def _refuse_elsewhere(bound: str, alive: Nodes, worker_resource: str | None) -> None:
    """Refuse a cluster that would place workers elsewhere, if they are *bound* to this machine."""
    here = alive.get(this_node(), {}).get("Resources", {})
    if len(alive) > 1 or (worker_resource is not None and not here.get(worker_resource)):
        raise ConfigurationError(f"This Ray cluster has workers on other machines, which {bound}")


def refuse_unlike(answers: Mapping[str, tuple[str | None, str]], nodes: Nodes) -> None:
    """Refuse nodes without raysync or with another version, where actors would fail later.

    *answers* has each node's version of raysync, or None with the reason why there is none.
    """
    lacking = {id_: why for id_, (version, why) in answers.items() if version is None}
    if lacking:
        why = next(iter(lacking.values())).rstrip(".")
        raise ConfigurationError(
            f"raysync cannot be imported on {_named(lacking, nodes)} of the Ray cluster: {why}. "
            f"{HOW_TO_INSTALL}"
        )
    others = {id_: version for id_, (version, _) in answers.items() if version != __version__}
    if others:
        version = next(iter(others.values()))
        raise ConfigurationError(
            f"There is raysync {version} on {_named(others, nodes)} of the Ray cluster, and this "
            f"is {__version__}. {HOW_TO_INSTALL}"
        )


@dataclass(frozen=True, slots=True)
class _Survey:
    """Answer of a node."""

    raysync: tuple[str | None, str]  #: the version, or None with a reason
    types: list[NodeType] | None  #: of the autoscaler on this node; None where they are unknown


def _ask(nodes: Nodes, port: str = "") -> dict[str, _Survey]:
    """Return each node's answer; a node that does not answer is left out.

    The head also answers for the autoscaler of the control service with that *port*.
    """
    asked = {
        _call_on(id_, probe.survey_here, port if _is_head(node) else ""): id_
        for id_, node in nodes.items()
    }
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
    found = {}
    for call in ready:
        try:
            version, why, types = ray.get(call)
        except RayError as error:  # the node has left the cluster, or cannot start a process
            _log.warning("a node did not report its raysync: %s", type(error).__name__)
            continue
        known = None if types is None else [NodeType(*each) for each in types]
        found[asked[call]] = _Survey((version, reason_of(why)), known)
    for call in late:
        ray.cancel(call)
    return found


def _call_on(node_id: str, function: Callable[..., Any], *arguments: str) -> Any:
    """Call a function of `probe` on a node, which may lack raysync."""
    cloudpickle.register_pickle_by_value(probe)  # type: ignore[no-untyped-call]  # untyped
    try:
        there = ray.remote(function).options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        )
        return there.remote(*arguments)
    finally:
        cloudpickle.unregister_pickle_by_value(probe)  # type: ignore[no-untyped-call]


def _named(ids: Collection[str], nodes: Nodes) -> str:
    names = [str(nodes[id_].get("NodeManagerAddress", id_)) for id_ in ids]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names[:_SHOWN])}{more}"


async def watch_draining_nodes(leave: Callable[[frozenset[str]], None]) -> None:
    """Pass draining nodes, such as preempted spot machines, to *leave*, without end."""
    while True:
        await asyncio.sleep(DRAINING_PERIOD_S)
        try:
            nodes = frozenset(await in_thread(ray_state.get_draining_nodes, DRAINING_S))
        except Exception as error:  # noqa: BLE001 Ray's control service is away for a while
            _log.warning("draining nodes could not be listed: %s", type(error).__name__)
            continue
        if nodes:
            leave(nodes)
