"""Tests that must run alone, and the others, take turns."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.turns import turn


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        (False, False, False),
        (False, True, True),
        (True, False, True),
        (True, True, True),
    ],
)
def test_a_test_that_runs_alone_waits_for_others_and_they_for_it(
    tmp_path: Path, first: bool, second: bool, waits: bool
) -> None:
    entered = threading.Event()

    def enter() -> None:
        with turn(tmp_path, alone=second):
            entered.set()

    with turn(tmp_path, alone=first):
        other = threading.Thread(target=enter)
        other.start()
        assert entered.wait(0.2 if waits else 10.0) is not waits
    other.join(10.0)
    assert entered.is_set()
