"""Calls of a lost worker, without Ray: the calls are futures."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from raysync.actors import remote_worker
from raysync.actors.remote_worker import Bound, RemoteWorker
from raysync.errors import ConfigurationError, SyncError, WorkerLostError
from tests.virtual_time import run_virtual


def no_secrets(_: Any) -> Any:
    raise AssertionError("nothing is opened here")


def worker() -> RemoteWorker:
    return RemoteWorker(lambda: None, "worker-0", no_secrets, 1.0, 1.0)


class Introduced:
    """Actor that has started on a node, with the methods that `start` calls."""

    def __init__(self, node_id: str) -> None:
        self.introduce = self.pulse = SimpleNamespace(remote=self._answer)
        self._node_id = node_id

    async def _answer(self) -> tuple[bytes, str]:
        return b"address", self._node_id


@pytest.mark.parametrize("there", ["here", "elsewhere"])
def test_a_bound_worker_is_refused_on_another_machine(there: str) -> None:
    bound = Bound("here", "it would keep files in a folder of its own.")

    async def scenario() -> str | None:
        # a thread creates the actor, for which no virtual time waits
        started = RemoteWorker(lambda: Introduced(there), "worker-0", no_secrets, 30.0, 1.0, bound)
        await started.start()
        return started.node_id

    if there == "here":
        assert asyncio.run(scenario()) == "here"
        return
    with pytest.raises(ConfigurationError, match="on another machine: it would keep files"):
        asyncio.run(scenario())


def test_a_start_that_ray_never_answers_ends_in_time_and_keeps_no_loop_waiting() -> None:
    """Creating a named actor waits for Ray's control service, without a limit."""
    never = threading.Event()
    stuck = RemoteWorker(never.wait, "worker-0", no_secrets, 0.05, 1.0)

    with pytest.raises(SyncError, match="did not start within"):
        asyncio.run(stuck.start())

    never.set()


def test_an_actor_that_comes_up_after_its_worker_was_killed_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[object] = []
    monkeypatch.setattr(remote_worker, "kill_actor", killed.append)
    late = Introduced("here")
    worker = RemoteWorker(lambda: late, "worker-0", no_secrets, 1.0, 1.0)

    worker.kill()
    worker._created()

    assert killed == [late]


def test_a_worker_that_never_started_is_closed_and_its_late_actor_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run may end before the start of its first worker has run."""
    killed: list[object] = []
    monkeypatch.setattr(remote_worker, "kill_actor", killed.append)
    late = Introduced("here")
    unstarted = RemoteWorker(lambda: late, "worker-0", no_secrets, 1.0, 1.0)

    asyncio.run(unstarted.close())
    unstarted._created()

    assert killed == [late]


def test_all_calls_of_a_killed_worker_raise_worker_lost() -> None:
    """One call reports the death, and kills the worker before other calls have reported."""

    async def scenario() -> None:
        lost = worker()
        lost._watching = asyncio.create_task(asyncio.sleep(60.0, "has had no heartbeat"))
        call = asyncio.get_running_loop().create_future()
        answer = asyncio.create_task(lost._answer(call))
        await asyncio.sleep(1.0)
        lost._watching.cancel()
        with pytest.raises(WorkerLostError, match="worker-0 was lost"):
            await answer

    run_virtual(scenario())


def test_calls_of_a_hung_worker_raise_worker_lost() -> None:
    async def scenario() -> None:
        hung = worker()
        hung._watching = asyncio.create_task(asyncio.sleep(5.0, "has had no heartbeat for 5 s"))
        with pytest.raises(WorkerLostError, match="worker-0 has had no heartbeat for 5 s"):
            await hung._answer(asyncio.get_running_loop().create_future())

    run_virtual(scenario())


def test_a_failed_heartbeat_leaves_the_result_to_the_call() -> None:
    async def scenario() -> Any:
        async def fail() -> str:
            raise ConnectionError("the actor is dead")

        dead = worker()
        dead._watching = asyncio.create_task(fail())
        call = asyncio.get_running_loop().create_future()
        answer = asyncio.create_task(dead._answer(call))
        await asyncio.sleep(1.0)
        call.set_result("done")
        return await answer

    assert run_virtual(scenario()) == "done"
