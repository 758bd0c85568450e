"""Why something failed is one line, of errors that others raise in many."""

from __future__ import annotations

import psycopg
import pytest
import yaml
from psycopg import errors
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import OperationalError

from raysync.reasons import reason_in_output, reason_of

REFUSED = 'connection to server at "{}", port 1 failed: Connection refused'
LISTENING = "\n\tIs the server running on that host and accepting TCP/IP connections?"
MISMATCH = (
    "Version mismatch: The cluster was started with:\n"
    "    Ray: 2.55.0\n"
    "    Python: 3.11.9\n"
    "This process on node 10.0.0.1 was started with:\n"
    "    Ray: 2.60.0\n"
    "    Python: 3.12.1\n"
)
DIED = (
    "The actor died unexpectedly before finishing this task.\n"
    "\tclass_name: ChannelSyncActor\n"
    "\tactor_id: 5a5c1f6c01000000\n"
    "\tpid: 411\n"
    "\tnamespace: raysync\n"
    "\tip: 10.0.0.1\n"
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR"
)
IN_INIT = (
    "The actor died because of an error raised in its creation task, "
    "\x1b[36mray::ChannelSyncActor.__init__()\x1b[39m (pid=411, ip=10.0.0.1)\n"
    '  File "/srv/raysync/worker.py", line 3, in __init__\n'
    "    raise ValueError(x)\n"
    "    ^^^^^^^^^^^^^^^^^^^\n"
    "ValueError: no such thing"
)
OF_A_JOB = (
    "Request failed with status code 500: Traceback (most recent call last):\n"
    '  File "/srv/job_head.py", line 3, in submit_job\n'
    "    raise ValueError(x)\n"
    "ValueError: Job with submission_id raysync-7 already exists\n"
    "."
)
OF_PIP = (
    "Failed to set up runtime environment.\n"
    "Could not create the actor because its associated runtime env failed to be created.\n"
    "Traceback (most recent call last):\n"
    '  File "/srv/pip.py", line 3, in run\n'
    "    await check_output_cmd(pip)\n"
    "RuntimeError: Run cmd[9] failed with the following details.\n"
    "ERROR: No matching distribution found for nope==1"
)
OF_GRPC = (
    "<_InactiveRpcError of RPC that terminated with:\n"
    "\tstatus = StatusCode.UNAVAILABLE\n"
    '\tdetails = "failed to connect to all addresses"\n'
    '\tdebug_error_string = "UNKNOWN:Error received from peer"\n'
    ">"
)
NO_LIBPQ = (
    "no pq wrapper available.\n"
    "Attempts made:\n"
    "- couldn't import psycopg 'c' implementation: No module named 'psycopg_c'\n"
    "- couldn't import psycopg 'python' implementation: libpq library not found"
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            MISMATCH,
            (
                "Version mismatch: The cluster was started with: Ray: 2.55.0, Python: 3.11.9. "
                "This process on node 10.0.0.1 was started with: Ray: 2.60.0, Python: 3.12.1"
            ),
        ),
        (
            DIED,
            (
                "The actor died unexpectedly before finishing this task. The actor is dead because "
                "its worker process has died. Worker exit type: SYSTEM_ERROR"
            ),
        ),
        (
            IN_INIT,
            (
                "The actor died because of an error raised in its creation task: "
                "ValueError: no such thing"
            ),
        ),
        (
            OF_A_JOB,
            (
                "Request failed with status code 500: ValueError: Job with submission_id raysync-7 "
                "already exists"
            ),
        ),
        (
            OF_PIP,
            (
                "Failed to set up runtime environment: RuntimeError: Run cmd[9] failed with the "
                "following details. ERROR: No matching distribution found for nope==1"
            ),
        ),
        (OF_GRPC, "failed to connect to all addresses"),
        (
            "validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /x/y",
            "validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /x/y",
        ),
        (
            "[Errno 24] Too many open files: '/tmp/ray'",
            "[Errno 24] Too many open files: '/tmp/ray'",
        ),
        (
            NO_LIBPQ,
            (
                "no pq wrapper available. Attempts made: - couldn't import psycopg 'c' "
                "implementation: No module named 'psycopg_c', - couldn't import psycopg 'python' "
                "implementation: libpq library not found"
            ),
        ),
        ("one line.", "one line"),
        ("", ""),
        ("\n\nlate\n", "late"),
    ],
)
def test_the_line_that_says_why_is_kept(text, reason):
    assert reason_of(text) == reason
    assert reason_of(RuntimeError(text)) == (reason or "RuntimeError")


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mit is \x1b[1;4mbroken\x1b[0m",
        "\x1b[38;5;196mit is\x1b[K broken\x1b[m",
        "\x1b]0;a title\x07it is \x1b]8;;http://a\x1b\\broken\x1b]8;;\x1b\\",
        "it is\x1b[?25h broken\x1b",
    ],
)
def test_a_reason_has_no_codes_for_a_terminal(text):
    assert reason_of(text) == reason_of(ValueError(text)) == "it is broken"
    assert reason_of(psycopg.OperationalError(text)) == "it is broken"


def test_of_what_is_long_the_end_stays():
    reason = reason_of("It failed:\n" + "\n".join("x" * 70 for _ in range(40)) + "\nfor this")

    assert reason.startswith("It failed: x")
    assert reason.endswith("for this")
    assert len(reason) < 520


def test_each_address_that_was_tried_is_named_once():
    one = "connection failed: " + REFUSED.format("127.0.0.1") + LISTENING
    last = "connection failed: " + REFUSED.format("127.0.0.2") + LISTENING
    several = (
        f"{last}\nMultiple connection attempts failed. All failures were:\n"
        f"- host: 'db', port: '1', hostaddr: '::1': connection timeout expired\n"
        f"- host: 'db', port: '1', hostaddr: '127.0.0.2': {last}"
    )
    tls = (
        'connection failed: connection to server at "h", port 1 failed: FATAL:  no pg_hba.conf '
        'entry, SSL encryption\nconnection to server at "h", port 1 failed: FATAL:  no '
        "pg_hba.conf entry, no encryption"
    )

    assert reason_of(psycopg.OperationalError(one)) == one.partition("\n")[0]
    assert (
        reason_of(psycopg.OperationalError(several))
        == REFUSED.format("127.0.0.2") + "; db: connection timeout expired"
    )
    assert reason_of(psycopg.OperationalError(tls)) == (
        'connection to server at "h", port 1 failed: FATAL: no pg_hba.conf entry, SSL encryption; '
        'connection to server at "h", port 1 failed: FATAL: no pg_hba.conf entry, no encryption'
    )


def test_a_real_failure_to_connect_says_why():
    with pytest.raises(psycopg.OperationalError) as raised:
        psycopg.connect("host=/nowhere,127.0.0.1 port=1", connect_timeout=2)

    reason = reason_of(raised.value)
    assert "No such file or directory" in reason
    assert "Connection refused" in reason
    assert "Is the server running" not in reason


@pytest.mark.parametrize("wrap", [False, True])
def test_what_a_database_quotes_is_not_repeated(wrap):
    error: Exception = errors.NotNullViolation(
        'null value in column "x" violates not-null constraint\n'
        "DETAIL:  Failing row contains (1, what somebody\nwrote).\n"
        "CONTEXT:  SQL statement"
    )
    if wrap:
        error = OperationalError("INSERT INTO messages VALUES (%s)", {"x": "wrote"}, error)

    assert reason_of(error) == 'null value in column "x" violates not-null constraint'
    assert "wrote" not in reason_of(str(error))
    assert "INSERT" not in reason_of(str(error))


def test_values_that_pydantic_refuses_are_not_repeated():
    class Model(BaseModel):
        count: int
        name: str

    with pytest.raises(ValidationError) as raised:
        Model.model_validate({"count": "hush", "name": 7})

    reason = reason_of(raised.value)
    assert reason.startswith("count: Input should be a valid integer")
    assert "name: Input should be a valid string" in reason
    assert "hush" not in reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [1\nb: 2", "expected ',' or ']', but got ':' (line 2, column 2)"),
        ("a: b: c", "mapping values are not allowed here (line 1, column 5)"),
        ("\ta", "found character '\\t' that cannot start any token (line 1, column 1)"),
    ],
)
def test_of_yaml_it_is_what_is_wrong_and_where(text, reason):
    with pytest.raises(yaml.YAMLError) as raised:
        yaml.safe_load(text)

    assert reason_of(raised.value) == reason


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            (
                "warn.py:3: DeprecationWarning: old\nUnexpected OSError: no room\nRun it again as "
                "`raysync --debug …` to see where."
            ),
            "Unexpected OSError: no room",
        ),
        (
            (
                "Usage: raysync emulator serve\nTry 'raysync emulator serve -h' for help.\n\n"
                "Error: Invalid value for '--port': must be a whole number."
            ),
            "Error: Invalid value for '--port': must be a whole number",
        ),
        (
            "Cannot listen on 127.0.0.1:80: Permission denied.",
            ("Cannot listen on 127.0.0.1:80: Permission denied"),
        ),
        (
            (
                "2026-01-01 UTC [7] FATAL:  could not map shared memory: Cannot allocate memory\n"
                "2026-01-01 UTC [7] HINT:  Reduce shared_buffers.\n"
                "2026-01-01 UTC [7] LOG:  database system is shut down\n"
                "pg_ctl: could not start server\nExamine the log output.\n"
            ),
            (
                "2026-01-01 UTC [7] FATAL: could not map shared memory: Cannot allocate memory / "
                "2026-01-01 UTC [7] HINT: Reduce shared_buffers"
            ),
        ),
        ("a\nb\nc\nd\n", "b / c / d"),
        (
            (
                'Starting\nTraceback (most recent call last):\n  File "x", line 1, in y\n    z\n'
                "OSError: no room"
            ),
            "OSError: no room",
        ),
        ("", ""),
    ],
)
def test_of_all_that_a_program_wrote_it_is_its_error(output, reason):
    assert reason_in_output(output) == reason
