"""The warm local Ray: joined by the next command, ended when idle, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from raysync.actors.warm_ray import StateFile, WarmHead, heads
from raysync.settings import LOCAL_RAYS
from tests.cluster.guilds import ServeTenant, tiny_world
from tests.cluster.installation import Installation, ray_environ
from tests.cluster.waiting import wait_until

LONG_S = "600"
_CONNECT = """
import os, pathlib, sys, ray
from raysync.actors import runtime

home = pathlib.Path(os.environ["RAYSYNC_HOME"])
found = runtime.connect(None, home, hidden=["A_SECRET", "LANG"], idle_s=float(sys.argv[1]))
nodes = ray.nodes()
print(ray.get(ray.remote(num_cpus=0)(lambda: "works").remote()), nodes[0]["NodeID"], flush=True)
if "dashboard" in sys.argv:
    print(found.dashboard_url, runtime.open_dashboard(), flush=True)
if "stay" in sys.argv:
    input()
    print(ray.get(ray.remote(num_cpus=0)(lambda: "works on").remote()), flush=True)
runtime.disconnect()
"""
_FAIL_TO_JOIN = """
import os, pathlib, sys
from raysync.actors.ray_token import use_own_token
from raysync.actors.warm_ray import WarmRay, WarmRayUnavailableError
from raysync.errors import ConfigurationError

def join(head):
    raise ConfigurationError("a reason of its own")

home = pathlib.Path(os.environ["RAYSYNC_HOME"])
use_own_token(home)
try:
    WarmRay.of(home, float(sys.argv[1]), ["A_SECRET", "LANG"]).use(join)
except WarmRayUnavailableError as error:
    print(error)
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a token of Ray's under RAYSYNC_HOME."""
    environ = ray_environ() | {"RAYSYNC_HOME": str(tmp_path / "home")}
    del environ["RAY_AUTH_MODE"]
    return environ


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a RAYSYNC_HOME whose heads end with the test."""
    home = tmp_path / "home"
    yield home
    for head in heads(home):
        os.kill(head.pid, signal.SIGKILL)
        wait_until(lambda pid=head.pid: not lives(pid), 30)  # type: ignore[misc]


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def connected(environ: dict[str, str], idle: str = LONG_S, *more: str, expected: str = "") -> str:
    """Connect once, which says *expected*, and return the id of the node that was joined."""
    done = subprocess.run(
        [sys.executable, "-c", _CONNECT, idle, *more],
        env=environ,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert expected in done.stderr
    works, node = done.stdout.split()[:2]
    assert works == "works"
    return node


def staying(environ: dict[str, str], idle: str = LONG_S) -> subprocess.Popen[str]:
    """Connect, and stay connected until a line comes."""
    return subprocess.Popen(
        [sys.executable, "-c", _CONNECT, idle, "stay"],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def only_head(home: Path) -> WarmHead:
    (head,) = heads(home)
    return head


@contextmanager
def using_a_head(
    environ: dict[str, str], home: Path
) -> Iterator[tuple[subprocess.Popen[str], WarmHead]]:
    """Start a head by a program that uses it, and wait until it does."""
    with staying(environ) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("works")
        yield run, only_head(home)


def processes_of(head: WarmHead) -> list[psutil.Process]:
    """Return all processes of the head's session."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) == head.pid:
                found.append(process)
    return found


def nothing_is_left(head: WarmHead, home: Path) -> Callable[[], bool]:
    started = processes_of(head)
    assert len(started) > 4
    return lambda: (
        not any(lives(process.pid) for process in started)
        and not Path(head.session).exists()
        and not heads(home)
    )


def plasma() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("plasma*")}


def test_the_next_command_joins_a_head_that_outlives_its_killed_starter(
    environ: dict[str, str], home: Path
) -> None:
    environ |= {"A_SECRET": "hunter2", "DISCORD_TOKEN": "t", "RAYSYNC_SECRET_KEY": "s" * 20}
    environ |= {"LANG": "named-as-a-secret", "RAY_AUTH_TOKEN": "of-another-cluster"}
    with staying(environ) as starter:
        assert starter.stdout is not None
        works, node = starter.stdout.readline().split()
        os.killpg(starter.pid, signal.SIGKILL)
    head = only_head(home)

    assert works == "works"
    assert connected(environ, LONG_S, "dashboard") == node
    assert only_head(home).pid == head.pid
    assert (only_head(home).dashboard_url or "").startswith("http://127.0.0.1:")
    for process in processes_of(head):
        held = Path(f"/proc/{process.pid}/environ").read_bytes()
        for secret in (b"hunter2", b"DISCORD_TOKEN", b"SECRET_KEY", b"named-as", b"of-another"):
            assert secret not in held


def test_an_idle_head_ends_and_leaves_nothing(environ: dict[str, str], home: Path) -> None:
    before = plasma()
    with staying(environ, "3") as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("works")
        head = only_head(home)
        is_over = nothing_is_left(head, home)
        connected(environ, "3")
        assert only_head(home).pid == head.pid, "a connected run keeps it"
        run.communicate("\n")
    wait_until(is_over, 60)

    assert [path.suffix for path in (home / LOCAL_RAYS).iterdir()] == [".door"]
    assert plasma() <= before


@pytest.mark.parametrize("victim", ["the head", "gcs_server"])
def test_a_killed_head_leaves_nothing_and_is_replaced(
    environ: dict[str, str], home: Path, victim: str
) -> None:
    before = plasma()
    node = connected(environ)
    head = only_head(home)
    is_over = nothing_is_left(head, home)
    names = {process.name(): process.pid for process in processes_of(head)}
    os.kill(names.get(victim, head.pid), signal.SIGKILL)
    wait_until(is_over, 60)

    assert connected(environ) != node
    assert only_head(home).pid != head.pid
    assert plasma() <= before


def test_a_head_with_another_token_ends_with_the_run_that_uses_it(
    environ: dict[str, str], home: Path
) -> None:
    with using_a_head(environ, home) as (run, head):
        (home / "ray_auth_token").write_text("f" * 64)

        # asked first: Ray would try for 20 s
        connected(environ, expected="refuses the token")

        assert only_head(home).pid == head.pid
        assert run.communicate("\n")[0] == "works on\n"
    wait_until(lambda: not lives(head.pid), 60)
    connected(environ)
    assert only_head(home).pid != head.pid


def test_a_run_that_fails_to_join_leaves_the_head_to_the_run_that_uses_it(
    environ: dict[str, str], home: Path
) -> None:
    with using_a_head(environ, home) as (run, head):
        failing = [sys.executable, "-c", _FAIL_TO_JOIN, LONG_S]
        done = subprocess.run(failing, env=environ, capture_output=True, text=True, check=True)

        assert done.stdout == "a reason of its own\n", done.stderr
        assert only_head(home).pid == head.pid
        assert run.communicate("\n")[0] == "works on\n"
    wait_until(lambda: not lives(head.pid), 60)


def test_two_commands_at_once_end_with_one_head(environ: dict[str, str], home: Path) -> None:
    with staying(environ) as first, staying(environ) as second:
        nodes = set()
        for run in (first, second):
            assert run.stdout is not None
            nodes.add(run.stdout.readline())
        for run in (first, second):
            run.communicate("\n")

    assert len(nodes) == 1
    assert len(heads(home)) == 1


def test_other_code_starts_its_own_and_a_run_without_the_setting_ends_all(
    environ: dict[str, str], home: Path
) -> None:
    node = connected(environ)
    assert connected(environ | {"PYTHONHASHSEED": "1"}) != node
    running = heads(home)
    assert len(running) == 2

    assert connected(environ, "0") != node

    wait_until(lambda: not heads(home), 30)
    wait_until(lambda: not any(lives(head.pid) for head in running), 30)


def test_a_secret_that_workers_may_need_is_left_to_a_ray_of_the_run(
    environ: dict[str, str], home: Path
) -> None:
    connected(environ | {"AWS_SECRET_ACCESS_KEY": "s"})

    assert heads(home) == []


@pytest.mark.timeout(240)  # two runs and a check
def test_a_run_uses_it_and_the_doctor_names_it(
    without_ray: Installation, serve_tenant: ServeTenant, home: Path
) -> None:
    warm = without_ray.with_environ(RAYSYNC_LOCAL_RAY_IDLE_S=LONG_S)
    installation, emulator = serve_tenant(warm, tiny_world())
    assert Path(installation.environ["RAYSYNC_HOME"]) == home
    first = installation.start("--tenant", "takaro")
    head = only_head(home)
    second = installation.start("--tenant", "takaro", "--full")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    installation.assert_complete("takaro", emulator)
    assert only_head(home).pid == head.pid
    wait_until(lambda: not actors_of(head), 30)
    said = installation.raysync("doctor").out
    assert f"process {head.pid}" in " ".join(said.split())


def actors_of(head: WarmHead) -> list[str]:
    """Return the actors of runs; the governor may last longer."""
    names = [name for process in processes_of(head) for name in process.cmdline()[:1]]
    return [name for name in names if name.startswith(("ray::ChannelSync", "ray::Progress"))]


def test_a_reused_process_id_is_no_head(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "x.json")
    head = WarmHead(os.getpid(), "127.0.0.1:1", "/tmp/ray/session_1", "2026-01-01T00:00:00", 9.0)
    assert file.hold()
    file.write(head)
    other = [sys.executable, "-c", "import sys; from pathlib import Path;"]
    other[-1] += "from raysync.actors.warm_ray import StateFile;"
    other[-1] += "print(StateFile(Path(sys.argv[1])).running() is not None)"

    def seen() -> str:
        done = subprocess.run([*other, str(file.path)], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert seen() == "True"
    copy = tmp_path / "y.json"
    copy.write_bytes(file.path.read_bytes())
    file = StateFile(copy)
    assert seen() == "False", "the process lives, but is no head of this file"
