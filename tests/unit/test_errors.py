"""The place and the shape of raysync's errors."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import raysync
from raysync import errors


def modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(raysync.__path__, "raysync."):
        if not module.name.startswith(("raysync.emulator", "raysync.__main__")):
            yield module.name  # the emulator shares nothing with raysync


def homes_of_errors() -> set[str]:
    """The modules that define a RaysyncError."""
    return {
        value.__module__
        for name in modules()
        for value in vars(importlib.import_module(name)).values()
        if inspect.isclass(value) and issubclass(value, errors.RaysyncError)
    }


def test_errors_live_in_one_module_except_those_of_a_single_command() -> None:
    homes = {home for home in homes_of_errors() if not home.startswith("raysync.cli.")}

    assert homes == {"raysync.errors"}


def in_errors() -> list[type[errors.RaysyncError]]:
    return [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, errors.RaysyncError)
    ]


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    documented = []
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = next((word for word in line.split() if word.endswith("Error")), None)
        indent = line.find(name) if name else -1
        if name is None or not line.startswith("    "):
            continue
        depth = (indent - 4) // 4
        path[depth:] = [name]
        documented.append((name, path[depth - 1] if depth else "Exception"))

    assert sorted(documented) == sorted(
        (error.__name__, error.__bases__[0].__name__) for error in in_errors()
    )


@pytest.mark.parametrize("error", in_errors(), ids=lambda error: error.__name__)
def test_an_error_survives_its_way_between_processes(error: type[errors.RaysyncError]) -> None:
    raised = error("a sentence")

    received = pickle.loads(pickle.dumps(raised))

    assert type(received) is error
    assert str(received) == "a sentence"
    assert vars(received) == vars(raised)
