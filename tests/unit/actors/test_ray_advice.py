"""Reasons why Ray cannot be used, with advice."""

from __future__ import annotations

import pytest
from ray.exceptions import ActorDiedError, RaySystemError

from raysync.actors.handles import why
from raysync.actors.runtime import _why
from raysync.submission.jobs import _end_of
from tests.unit.test_reasons import MISMATCH, OF_PIP


@pytest.mark.parametrize(
    ("error", "reason", "advice"),
    [
        (RuntimeError(MISMATCH), "Python: 3.12.1. ", "raysync submit."),
        (
            OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107: /x"),
            "cannot exceed 107: /x. ",
            "Set RAY_TMPDIR to a directory with a shorter path, such as /tmp.",
        ),
        (OSError(24, "Too many open files"), "Too many open files. ", "ulimit -n"),
        (OSError(28, "No space left on device", "/x"), "device: '/x'. ", "Free some space"),
        (PermissionError(13, "Permission denied", "/x"), "denied: '/x'. ", "may write to."),
        (ConnectionError("ray client connection timeout"), "connection timeout.", ""),
    ],
)
def test_advice_follows_the_reason(error, reason, advice):
    text = _why(error)

    assert reason in text
    assert advice in text
    assert text.endswith(".")


def test_the_reason_of_an_actors_death_is_complete():
    assert why(ActorDiedError()) == "The actor died unexpectedly before finishing this task"
    assert why(RaySystemError("Broken pipe", 'Traceback\n  File "x", line 1, in y\n    z')) == (
        "System error: Broken pipe"
    )


def test_the_reason_of_a_jobs_failure_is_complete():
    class Info:
        status = "FAILED"
        driver_exit_code = None
        message = OF_PIP

    assert "No matching distribution found for nope==1" in (_end_of(Info()).reason or "")
