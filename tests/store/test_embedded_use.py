"""Commands that use the embedded server, and the one that stops it, exclude each other."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from raysync.errors import DatabaseUnavailableError
from raysync.store.server import embedded_use
from raysync.store.server.embedded_use import in_use, unused

_USE = (
    "import pathlib, sys; from raysync.store.server.embedded_use import in_use\n"
    "with in_use(pathlib.Path(sys.argv[1])): print('using', flush=True); sys.stdin.read()"
)


def test_a_server_in_use_is_not_stopped_until_all_have_ended(tmp_path: Path) -> None:
    with in_use(tmp_path):
        with in_use(tmp_path), unused(tmp_path) as is_unused:
            assert not is_unused
        with unused(tmp_path) as is_unused:
            assert not is_unused
    with unused(tmp_path) as is_unused:
        assert is_unused


def test_a_command_waits_for_a_stop_that_is_under_way(tmp_path: Path) -> None:
    began = threading.Event()

    def begin() -> None:
        with in_use(tmp_path):
            began.set()

    tmp_path.joinpath("postgres.use").touch()
    command = threading.Thread(target=begin)
    with unused(tmp_path):
        command.start()
        assert not began.is_set()
    command.join(30)
    assert began.is_set()


def test_a_stop_that_does_not_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_use, "STOPPED_WITHIN_S", 0.0)
    with (
        unused(tmp_path),
        pytest.raises(DatabaseUnavailableError, match="has been stopping"),
        in_use(tmp_path),
    ):
        pass


def test_a_killed_command_uses_nothing_any_more(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _USE, str(tmp_path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "using\n"
        with unused(tmp_path) as is_unused:
            assert not is_unused
        program.kill()
        program.wait()
        with unused(tmp_path) as is_unused:
            assert is_unused


def test_a_home_that_does_not_exist_is_not_made_to_stop_nothing(tmp_path: Path) -> None:
    with unused(tmp_path / "home") as is_unused:
        assert is_unused
    assert not (tmp_path / "home").exists()


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DatabaseUnavailableError, match=r"cannot use .*file.*Set RAYSYNC_HOME"),
        in_use(tmp_path / "file"),
    ):
        pass
