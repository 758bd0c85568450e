"""The Ray that a local run starts: which processes it has, and that none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.cluster.guilds import ServeTenant, wide_world
from tests.cluster.installation import Installation, ended, ray_environ
from tests.cluster.waiting import wait_until

_SHARED_MEMORY = Path("/dev/shm")
_STEPS = """
import pathlib, sys, threading, ray
from raysync.actors import runtime

home = pathlib.Path(sys.argv[1])
thread = threading.Thread(target=lambda: runtime.connect(None, home))
thread.start()
thread.join()
print(ray.get(ray.remote(num_cpus=0)(lambda: "works").remote()), flush=True)
input()
print(runtime.open_dashboard(), flush=True)
input()
print(ray.get(ray.remote(num_cpus=0)(lambda: "works").remote()), flush=True)
input()
runtime.disconnect()
print("ended", flush=True)
input()
"""


@contextmanager
def stepping(home: Path, steps: str = _STEPS) -> Iterator[subprocess.Popen[str]]:
    """Run *steps*, a program that waits for a line before each of its steps."""
    with subprocess.Popen(
        [sys.executable, "-c", steps, str(home)],
        env=ray_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def said(program: subprocess.Popen[str], first: str = "\n") -> str:
    """Let the program take its next step, and return the line that it then prints."""
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(first)
    program.stdin.flush()
    return program.stdout.readline().strip()


def below(program: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(program.pid).children(recursive=True)


def scripts_of(processes: list[psutil.Process]) -> set[str]:
    """The names of the Python programs and binaries among them, by their command lines."""
    words = {word for process in processes for word in process.cmdline()}
    return {Path(word).name for word in words}


def shared_memory() -> set[str]:
    return {path.name for path in _SHARED_MEMORY.glob("plasma*")}


def test_a_local_ray_starts_what_a_run_needs_and_its_dashboard_on_request(tmp_path: Path) -> None:
    """It is started in a thread that has ended: the kernel would end its processes with it."""
    before = shared_memory()
    with stepping(tmp_path) as program:
        assert said(program, "") == "works", program.communicate()[1]
        started = below(program)
        names = scripts_of(started)
        assert {"gcs_server", "raylet", "ray::DashboardAgent"} <= names
        assert not {"monitor.py", "log_monitor.py", "dashboard.py"} & names
        url = said(program)
        assert url.startswith("http://127.0.0.1:")
        assert "dashboard.py" in scripts_of(below(program))
        assert said(program) == "works"
        started += below(program)
        assert said(program) == "ended"
        wait_until(lambda: not any(process.is_running() for process in started), 30)
        _, errors = program.communicate("\n", timeout=30)

    assert errors == ""
    assert shared_memory() <= before


@pytest.mark.parametrize("step", ["before the dashboard", "after"])
def test_a_killed_driver_leaves_no_process_of_its_ray(tmp_path: Path, step: str) -> None:
    with stepping(tmp_path) as program:
        assert said(program, "") == "works"
        if step == "after":
            assert said(program).startswith("http://")
        # Ray's two agents end by themselves a minute after their raylet
        started = [process for process in below(program) if "Agent" not in process.cmdline()[0]]
        program.kill()
        wait_until(lambda: not any(process.is_running() for process in started), 30)


def test_an_end_during_the_start_of_the_dashboard_waits_for_nothing(tmp_path: Path) -> None:
    steps = (
        "import pathlib, sys, threading; from raysync.actors import runtime\n"
        "runtime.connect(None, pathlib.Path(sys.argv[1]))\n"
        "thread = threading.Thread(target=lambda: print(runtime.open_dashboard()))\n"
        "thread.start()\n"
        "print('opening', flush=True); input()\n"
        "runtime.disconnect(); thread.join(10); print(thread.is_alive())\n"
    )
    with stepping(tmp_path, steps) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "opening\n"
        wait_until(lambda: "dashboard.py" in scripts_of(below(program)), 30)
        started = below(program)
        out, errors = program.communicate("\n", timeout=30)

    assert out.splitlines() == ["None", "False"]
    assert errors == ""
    wait_until(lambda: not any(process.is_running() for process in started), 30)


def test_a_run_prints_its_dashboard_once_it_answers(
    without_ray: Installation, serve_tenant: ServeTenant
) -> None:
    installation, _ = serve_tenant(without_ray, wide_world(), SYNC_GLOBAL_REQUESTS_PER_SECOND="2")
    with installation.starting("--tenant", "takaro") as program:
        assert program.stderr is not None
        lines = iter(program.stderr.readline, "")
        assert any(line.startswith("Ray dashboard: http://127.0.0.1:") for line in lines)
        os.kill(program.pid, signal.SIGINT)
        run = ended(program, 30)

    assert run.code == 130, run.err
    assert "Traceback" not in run.err
