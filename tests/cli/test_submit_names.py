"""Names of submitted jobs, as Ray's dashboard lists them."""

from __future__ import annotations

import pytest

from raysync.cli.runs.submit import _metadata


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
