"""Actors are thin shells, and only frozen values cross them."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raysync.actors.channel_sync import ChannelSyncActor
from raysync.actors.governor import RateLimitGovernor
from raysync.actors.tracker import ProgressTracker

SHELLS = (ChannelSyncActor, RateLimitGovernor, ProgressTracker)
MAX_LINES = 80


@pytest.mark.parametrize("shell", SHELLS)
def test_an_actor_is_a_shell(shell: type) -> None:
    assert len(inspect.getsourcelines(shell)[0]) <= MAX_LINES


def methods(shell: type) -> Iterator[Callable[..., Any]]:
    for name, method in inspect.getmembers(shell, inspect.isfunction):
        if not name.startswith("_") or name == "__init__":
            yield method


def types_in(annotation: Any) -> Iterator[type]:
    """The classes in an annotation, those in its brackets and those in fields included."""
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        yield annotation
        if dataclasses.is_dataclass(annotation):
            for hint in typing.get_type_hints(annotation).values():
                yield from types_in(hint)
    for part in typing.get_args(annotation):
        yield from types_in(part)


def crossing(shell: type) -> set[type]:
    hints = (typing.get_type_hints(method) for method in methods(shell))
    annotations = [annotation for hint in hints for annotation in hint.values()]
    return {found for annotation in annotations for found in types_in(annotation)}


@pytest.mark.parametrize("shell", SHELLS)
def test_only_frozen_values_cross_an_actor(shell: type) -> None:
    ours = {found for found in crossing(shell) if found.__module__.startswith("raysync.")}

    changeable = {
        found
        for found in ours
        if not issubclass(found, (enum.Enum, BaseException))
        and not (dataclasses.is_dataclass(found) and found.__dataclass_params__.frozen)
    }

    assert ours
    assert changeable == set()


def test_only_calls_that_say_something_are_tasks_of_the_dashboard() -> None:
    """Ray lists each call otherwise: thousands of permits would hide the channels' visits."""
    left_out = {
        method.__name__
        for shell in SHELLS
        for method in methods(shell)
        if getattr(method, "__ray_enable_task_events__", True) is False
    }

    assert left_out == {"lease", "observe", "stopped", "report", "settle", "view", "pulse"}
