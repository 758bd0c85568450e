"""Unit tests know no Ray."""

from __future__ import annotations

import pytest
import ray


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise RuntimeError("unit tests run without Ray")

    monkeypatch.setattr(ray, "init", refuse)
