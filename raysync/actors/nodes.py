"""The nodes of a cluster: whether they can do a run's work, and which will soon be gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import ray
from ray import cloudpickle
from ray._private.state import state as ray_state
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysync import __version__
from raysync.actors import probe
from raysync.errors import ConfigurationError
from raysync.reasons import reason_of

_log = logging.getLogger(__name__)

DRAINING_PERIOD_S = 5.0
"""A node of a cloud is taken back half a minute to two minutes after notice."""
ANSWER_S = 20.0
"""A node that takes longer to start a process is not waited for: its workers will tell."""
_HEAD: Final = "node:__internal_head__"
_SHOWN: Final = 3
HOW_TO_INSTALL: Final = (
    f"Install raysync {__version__} on all nodes of the cluster (docs/cluster.md), or ship this "
    "version with the run: raysync submit --working-dir DIR."
)

Nodes = Mapping[str, Mapping[str, Any]]
"""From a node's id to what Ray tells of it."""


def this_node() -> str:
    """The id of the machine that this process is on."""
    return str(ray.get_runtime_context().get_node_id())


def require_nodes(bound: str | None, worker_resource: str | None) -> None:
    """Say at once where the cluster cannot do a run's work.

    A cluster may have other nodes only later: `RemoteWorker` looks again. *bound* says why workers
    may not be on other machines, where that is so.

    Raises:
        ConfigurationError: workers would be on other machines, or raysync is not on all.
    """
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # untyped in Ray
    alive = {each["NodeID"]: each for each in nodes if each["Alive"]}
    if bound is not None:
        _refuse_elsewhere(bound, alive, worker_resource)
    used = {
        id_: each for id_, each in alive.items() if _is_used(each["Resources"], worker_resource)
    }
    refuse_unlike(_ask(used), used)


def _refuse_elsewhere(bound: str, alive: Nodes, worker_resource: str | None) -> None:
    """Refuse a cluster where workers that are *bound* to this machine would be on others."""
    here = alive.get(this_node(), {}).get("Resources", {})
    if len(alive) > 1 or (worker_resource is not None and not here.get(worker_resource)):
        raise ConfigurationError(f"This Ray cluster has workers on other machines, which {bound}")


def _is_used(resources: Mapping[str, float], worker_resource: str | None) -> bool:
    """Whether a run has actors on a node: on the head, and where there is room for workers."""
    return bool(resources.get(_HEAD) or resources.get(worker_resource or "CPU"))


def refuse_unlike(answers: Mapping[str, tuple[str | None, str]], nodes: Nodes) -> None:
    """Refuse nodes without raysync, or with another version: actors would fail in odd ways.

    *answers* are what each node said of its raysync: a version, or None and why there is none.
    """
    lacking = {id_: why for id_, (version, why) in answers.items() if version is None}
    if lacking:
        why = next(iter(lacking.values())).rstrip(".")
        raise ConfigurationError(
            f"raysync cannot be imported on {_named(lacking, nodes)} of the Ray cluster: {why}. "
            f"{HOW_TO_INSTALL}"
        )
    others = {id_: each for id_, (each, _) in answers.items() if each != __version__}
    if others:
        version = next(iter(others.values()))
        raise ConfigurationError(
            f"There is raysync {version} on {_named(others, nodes)} of the Ray cluster, and this "
            f"is {__version__}. {HOW_TO_INSTALL}"
        )


def _ask(nodes: Nodes) -> dict[str, tuple[str | None, str]]:
    """What each node says of its raysync; a node that does not answer is left out."""
    cloudpickle.register_pickle_by_value(probe)  # type: ignore[no-untyped-call]  # untyped
    try:
        ask = ray.remote(probe.raysync_here)
        asked = {
            ask.options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(id_, soft=False),
            ).remote(): id_
            for id_ in nodes
        }
    finally:
        cloudpickle.unregister_pickle_by_value(probe)  # type: ignore[no-untyped-call]
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
    found = {}
    for each in ready:
        try:
            version, why = ray.get(each)
            found[asked[each]] = version, reason_of(why)
        except RayError as error:  # it went away meanwhile, or can start no process
            _log.warning("a node did not say whether it has raysync: %s", type(error).__name__)
    for each in late:
        ray.cancel(each)
    return found


def _named(ids: Collection[str], nodes: Nodes) -> str:
    names = [str(nodes[each].get("NodeManagerAddress", each)) for each in ids]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names[:_SHOWN])}{more}"


async def watch_draining_nodes(leave: Callable[[frozenset[str]], None]) -> None:
    """Tell *leave*, for ever, which nodes will soon be gone, as spot machines are."""
    while True:
        await asyncio.sleep(DRAINING_PERIOD_S)
        try:
            nodes = frozenset(await asyncio.to_thread(ray_state.get_draining_nodes))
        except Exception as error:  # noqa: BLE001 Ray's control service is away for a while
            _log.warning("nobody knows which nodes are draining: %s", type(error).__name__)
            continue
        if nodes:
            leave(nodes)
