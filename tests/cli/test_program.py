"""The command line as a program: what it loads, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psycopg
import pytest

from tests.cli.test_privacy import hold_all

HEAVY = {"ray", "discord", "sqlalchemy", "psycopg", "alembic", "aiohttp"}


NO_JOB = "6f1c1c1e-6a52-4f0e-9f55-0a8f7f0a9d12"


def modules_of(*arguments: str, code: int = 0) -> set[str]:
    """The top-level modules that a command had loaded at its end, which is *code*."""
    program = (
        "import sys, runpy, atexit\n"
        "atexit.register(lambda: sys.stderr.write('\\nLOADED ' + ' '.join(sys.modules)))\n"
        f"sys.argv = ['raysync', *{arguments!r}]\n"
        "runpy.run_module('raysync', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    loaded = done.stderr.rpartition("LOADED ")[2].split()
    return {name.partition(".")[0] for name in loaded}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["start", "--help"], ["submit", "--help"], ["demo", "--help"]],
)
def test_help_loads_nothing_heavy(arguments):
    assert modules_of(*arguments) & HEAVY == set()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["status"], 0), (["tenant", "list"], 0), (["cancel", "--job-id", NO_JOB], 2)],
)
def test_looking_and_cancelling_need_neither_ray_nor_discord(with_database, arguments, code):
    heavy = {"ray", "discord", "aiohttp", "alembic"}
    assert modules_of(*arguments, code=code) & heavy == set()


def test_colour_is_for_terminals_and_not_under_no_color():
    parent, child = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    program = [sys.executable, "-c", _COLOURED]

    def output(**more: str) -> bytes:
        subprocess.run(program, stdout=child, env=environment | more, check=True)
        return os.read(parent, 1000)

    try:
        assert b"\x1b[31m" in output()
        assert b"\x1b[31m" not in output(NO_COLOR="1")
    finally:
        os.close(parent)
        os.close(child)
    piped = subprocess.run(program, capture_output=True, env=environment, check=True).stdout
    assert piped == b"failed\n"


_COLOURED = """
from rich.text import Text
from raysync.cli.output.console import out
out().print(Text("failed", style="red"))
"""


def test_ctrl_c_ends_a_watch_with_130(with_database, run):
    assert run("tenant", "add", "a", "--guild", "5", "--token-env", "T").exit_code == 0
    _begin_a_job(with_database)
    program = [sys.executable, "-m", "raysync", "status", "--watch"]
    with psycopg.connect(with_database, autocommit=True) as driver:
        hold_all(driver)
        with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout.readline().startswith(b"a: 7 messages")
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()

    assert (process.returncode, said) == (130, b"Interrupted.\n")


def _begin_a_job(database_url: str) -> None:
    from raysync.store.jobs.rows import view_json
    from tests.cli.samples import JOB_ID, job_view

    with psycopg.connect(database_url) as session:
        session.execute(
            "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, progress) "
            "SELECT %s, id, 'full', 0, %s::jsonb FROM tenants",
            (JOB_ID, view_json(job_view(tenant="a", messages=7))),
        )


def test_a_tethered_command_ends_by_itself_though_its_holder_lives():
    program = [sys.executable, "-m", "raysync.cli.exit_with_parent", "--version"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(60) == 0
