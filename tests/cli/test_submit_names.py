"""Names of submitted jobs, as Ray's dashboard lists them."""

from __future__ import annotations

import pytest

from raysync.cli.runs.submit import RUNNABLE, _excludes, _metadata


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"tenant": ["takaro"]}, "raysync start takaro"),
        ({"tenant": ["takaro", "other", "takaro"]}, "raysync start takaro, other"),
        ({"tenant": []}, "raysync start all tenants"),
        ({"tenant": ["a", "b", "c", "d"]}, "raysync start 4 tenants"),
        ({"job_id": "d6cb"}, "raysync start d6cb"),
    ],
)
def test_a_job_has_a_name_for_the_dashboard(parameters: dict[str, object], name: str) -> None:
    assert _metadata("start", parameters)["job_name"] == name


@pytest.mark.parametrize(
    ("command", "other", "excludes"),
    [
        ("start", "start", True),
        ("start", "verify", True),
        ("tail", "tail", True),
        ("tail", "start", False),
        ("resume", "tail", False),
        ("doctor", "tail", False),
        ("start", "doctor", False),
    ],
)
def test_a_tail_is_a_job_beside_the_runs_of_its_tenant(
    command: str, other: str, excludes: bool
) -> None:
    assert {command, other} <= set(RUNNABLE)
    assert _excludes(command, other) is excludes
