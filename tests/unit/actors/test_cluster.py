"""Ends of a run's actors, without Ray: the calls are coroutines."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.exceptions import ActorUnavailableError, RayActorError, RayError

from raysync.actors.cluster import RunActors


@pytest.mark.parametrize(
    "error",
    [RayActorError(), ActorUnavailableError("it restarts", None), RayError("anything"), None],
)
def test_the_end_of_a_run_does_not_depend_on_the_release_of_its_tokens(
    error: RayError | None,
) -> None:
    async def give_up_shares() -> None:
        if error is None:
            raise TimeoutError
        raise error

    actors = cast("Any", object.__new__(RunActors))
    actors._governor = SimpleNamespace(give_up_shares=SimpleNamespace(remote=give_up_shares))

    asyncio.run(actors.leave_tokens())
