"""What a warm Ray gets of the environment, and which state files describe one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from raysync.actors.warm_environment import environment
from raysync.actors.warm_ray import (
    StateFile,
    WarmHead,
    WarmRay,
    WarmRayUnavailableError,
    end_heads,
    heads,
    remove_session,
)
from raysync.settings import LOCAL_RAYS

HEAD = WarmHead(os.getpid(), "127.0.0.1:6379", "/tmp/ray/session_1", "2026-01-01T00:00:00", 9.0)
NO_PATH = json.dumps(asdict(replace(HEAD, session=3)))  # type: ignore[arg-type]


def test_a_head_gets_a_fixed_list_of_variables_without_secrets() -> None:
    kept = {"PATH": "/bin", "LC_ALL": "C", "PYTHONPATH": "/x", "RAY_TMPDIR": "/y", "PGHOST": "db"}
    left_out = {
        "DISCORD_TOKEN": "t",
        "ANYTHING": "else",
        "RAYSYNC_SECRET_KEY": "s",
        "RAYSYNC_DATABASE_URL": "u",
        "HTTPS_PROXY": "http://user:password@proxy",
        "RAY_AUTH_TOKEN": "of a cluster",
        "RAY_ADDRESS": "elsewhere:6379",
        "PGPASSWORD": "p",
        "AWS_SECRET_ACCESS_KEY": "k",
        "LANG": "a variable that a tenant's reference names",
    }

    assert environment(kept | left_out, {"LANG"}) == kept


@pytest.mark.parametrize(
    "name",
    [
        "RAY_REDIS_PASSWORD",
        "RAY_RUNTIME_ENV_BEARER_TOKEN",
        "RAY_AUTH_TOKEN",
        "RAY_RUNTIME_ENV_HOOK",
        "RAY_JOB_CONFIG_JSON_ENV_VAR",
        "RAY_PROMETHEUS_HEADERS",
        "RAY_ANYTHING_NEW",
        "RAY_some_secret_flag",
        "PYTHON_KEYRING_PASSWORD",
        "PGP_PRIVATE_KEY",
        "PG_URL",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "GOOGLE_API_KEY",
        "GOOGLE_CREDENTIALS",
        "AWS_ACCESS_KEY_ID",
    ],
)
def test_a_head_gets_no_variable_that_may_hold_a_secret(name: str) -> None:
    assert environment({name: "hunter2", "PATH": "/bin"}, ()) == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "name",
    [
        "RAY_AUTH_MODE",
        "RAY_AUTH_TOKEN_PATH",
        "RAY_USE_TLS",
        "RAY_TLS_SERVER_KEY",
        "RAY_metrics_report_interval_ms",
        "RAY_grpc_keepalive_time_ms",
        "PYTHONHASHSEED",
        "PGPASSFILE",
        "PGSSLKEY",
        "AWS_REGION",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ],
)
def test_a_head_gets_flags_and_names_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert environment({name: "/x"}, ()) == {name: "/x"}
    monkeypatch.setenv(name, "/x")
    assert WarmRay.of(tmp_path, 60.0, ()).environ[name] == "/x"


def test_a_secret_that_no_worker_needs_prevents_no_warm_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_REDIS_PASSWORD", "PYTHON_KEYRING_PASSWORD", "PGP_PRIVATE_KEY"):
        monkeypatch.setenv(name, "hunter2")

    assert "hunter2" not in WarmRay.of(tmp_path, 60.0, ()).environ.values()


@pytest.mark.parametrize(
    "name",
    [
        "PGPASSWORD",
        "AWS_SESSION_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_CONNECTION_STRING",
        "GOOGLE_API_KEY",
        "GOOGLE_CREDENTIALS",
    ],
)
def test_a_run_whose_workers_may_need_a_secret_uses_no_warm_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "hunter2")

    with pytest.raises(WarmRayUnavailableError, match=name) as refused:
        WarmRay.of(tmp_path, 60.0, ())
    assert "hunter2" not in str(refused.value)


def test_another_environment_or_setting_has_another_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = WarmRay.of(tmp_path, 60.0, ())
    assert WarmRay.of(tmp_path, 60.0, ()).file.path == one.file.path
    assert WarmRay.of(tmp_path, 61.0, ()).file.path != one.file.path
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert WarmRay.of(tmp_path, 60.0, ()).file.path != one.file.path


@pytest.mark.parametrize("is_held", [True, False])
def test_a_file_without_a_holder_describes_no_head(tmp_path: Path, is_held: bool) -> None:
    """The process id lives in both cases: it may belong to anybody by now."""
    path = tmp_path / LOCAL_RAYS / "x.json"
    path.parent.mkdir()
    holder = StateFile(path)
    assert holder.hold()
    holder.write(HEAD)
    if not is_held:
        path.write_bytes(path.with_name("x.json").read_bytes())
        os.close(holder._held or -1)

    assert heads(tmp_path) == ([HEAD] if is_held else [])
    if not is_held:
        end_heads(tmp_path)  # would end this process


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"pid": "1"}',
        "\x00",
        "{" * 50_000,
        NO_PATH,
    ],
)
def test_a_state_file_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)

    assert StateFile(path).read() is None


def test_only_a_session_of_ray_is_removed(tmp_path: Path) -> None:
    mine, session = tmp_path / "documents", tmp_path / "session_2026-01-01_1"
    mine.mkdir()
    session.mkdir()

    remove_session(str(mine))
    remove_session(str(session))

    assert mine.exists()
    assert not session.exists()


@contextmanager
def another_process() -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that ends with its input."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_head_that_is_busy_is_left_to_the_runs_that_use_it(tmp_path: Path) -> None:
    """It holds its file and its port, but does not answer in time."""
    file = StateFile(tmp_path / "x.json")
    assert file.hold()
    with socket.create_server(("127.0.0.1", 0)) as server, another_process() as process:
        host, port = server.getsockname()
        file.write(replace(HEAD, pid=process.pid, address=f"{host}:{port}"))
        with pytest.raises(WarmRayUnavailableError, match=f"{process.pid}.* not answer in time"):
            WarmRay(StateFile(file.path), 9.0, {}).use(lambda head: None)

        assert process.poll() is None
        assert StateFile(file.path).running() is not None
        process.communicate(b"\n", timeout=30)
        assert process.returncode == 0, "a signal has ended it"


def test_a_head_that_cannot_be_joined_is_asked_to_end(tmp_path: Path) -> None:
    """Nothing listens at its address. SIGTERM ends a head only when no run is connected."""
    file = StateFile(tmp_path / "x.json")
    assert file.hold()
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
    with another_process() as process:
        file.write(replace(HEAD, pid=process.pid, address=f"{host}:{port}"))
        with pytest.raises(WarmRayUnavailableError, match="asked to end"):
            WarmRay(StateFile(file.path), 9.0, {}).use(lambda head: None)

        assert process.wait(30) == -signal.SIGTERM
        assert file.path.exists(), "its holder removes it"


def test_a_head_removes_no_file_of_another_head(tmp_path: Path) -> None:
    first, second = StateFile(tmp_path / "x.json"), StateFile(tmp_path / "x.json")
    assert first.hold()
    first.path.unlink()
    assert second.hold()
    second.write(HEAD)

    assert not first.remove()
    assert StateFile(second.path).running() == HEAD
    assert second.remove()
    assert not second.path.exists()


def test_a_command_removes_no_file_that_a_head_holds(tmp_path: Path) -> None:
    holder, command = StateFile(tmp_path / "x.json"), StateFile(tmp_path / "x.json")
    assert holder.hold()
    assert not command.remove()
    assert command.is_held()
    os.close(holder._held or -1)
    assert command.remove()
    assert not command.path.exists()


def test_one_door_admits_one_command(tmp_path: Path) -> None:
    file = StateFile(tmp_path / LOCAL_RAYS / "x.json")
    with file.door(1), pytest.raises(WarmRayUnavailableError), file.door(0):
        pass
    with file.door(0):
        pass
