"""Translation between Ray's job server and raysync's submissions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from raysync.errors import ConfigurationError
from raysync.submission.jobs import JobOrder, SubmissionEnd, _end_of, _Log, _runtime_env

TOKEN = "A" * 24 + ".AbCdEf." + "h-_4" * 9


def info(status: JobStatus, code: int | None = None, message: str | None = None) -> Any:
    return SimpleNamespace(status=status, driver_exit_code=code, message=message)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (info(JobStatus.SUCCEEDED, 0), SubmissionEnd("succeeded", 0)),
        (info(JobStatus.FAILED, 3, "exit code 3, last logs: …"), SubmissionEnd("failed", 3)),
        (info(JobStatus.FAILED, -9), SubmissionEnd("failed", 137)),
        (info(JobStatus.STOPPED), SubmissionEnd("stopped", 130)),
        (
            info(JobStatus.FAILED, None, "runtime_env setup failed:\nno such module\n"),
            SubmissionEnd("failed", 1, "runtime_env setup failed: no such module"),
        ),
    ],
)
def test_a_job_ends_with_its_drivers_own_code(told: Any, expected: SubmissionEnd) -> None:
    assert _end_of(told) == expected


def test_each_character_of_a_log_is_handed_on_once_though_the_tail_begins_anew() -> None:
    written: list[str] = []
    log = _Log(None, "x", written.append)  # type: ignore[arg-type]

    log._write_new("one\ntwo\n", 8)
    log._write_new("one\n", 4)  # the connection broke, and the log comes again from its start
    log._write_new("two\nthree\n", 14)
    log.complete("one\ntwo\nthree\nfour\n")

    assert "".join(written) == "one\ntwo\nthree\nfour\n"


def order(tmp_path: Path, text: str) -> JobOrder:
    file = tmp_path / "env.yaml"
    file.write_text(text)
    return JobOrder("id", "true", {}, file)


def test_a_job_has_time_to_end_cleanly_unless_its_environment_says_otherwise(
    tmp_path: Path,
) -> None:
    assert _runtime_env(JobOrder("id", "true", {})) == {
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}
    }
    longer = order(tmp_path, 'env_vars: {RAY_JOB_STOP_WAIT_TIME_S: "300", A: "1"}')
    assert _runtime_env(longer)["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": "300", "A": "1"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("env_vars: {TAKARO_TOKEN: hush}", "TAKARO_TOKEN is in the runtime environment"),
        (
            "env_vars: {RAYSYNC_DATABASE_URL: hush}",
            "set it on the cluster's nodes where Ray starts",
        ),
        (f'env_vars: {{A: "{TOKEN}"}}', "A is in the runtime environment"),
        ("env_vars: {A: 'postgresql://me:hush@db/raysync'}", "A is in the runtime environment"),
        ("env_vars: {A: 1}", "Write it in quotes"),
        ("env_vars: {1: a}", "Write it in quotes"),
        ("- a list", "not a runtime environment"),
        ("env_vars: [hush", "cannot be read"),
    ],
)
def test_a_runtime_environment_that_cannot_be_used_is_a_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as told:
        _runtime_env(order(tmp_path, text))

    assert "hush" not in str(told.value)
    assert TOKEN not in str(told.value)
