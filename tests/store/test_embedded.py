"""The embedded server: one per home, whoever starts it and however that one ends."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from raysync.errors import DatabaseUnavailableError
from raysync.store.connection.sessions import connect_now
from raysync.store.server.embedded import embedded_running, start_embedded, stop_embedded
from raysync.store.server.server_account import account_for, first_closed

_START = "import sys, pathlib; from raysync.store.server.embedded import start_embedded; "
_SAY_URL = _START + "print(start_embedded(pathlib.Path(sys.argv[1])))"
_START_AND_DIE = _START + (
    "import os, signal; start_embedded(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
)


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="raysync-home-") as directory:
        try:
            yield Path(directory)
        finally:
            stop_embedded(Path(directory))


def _answers(url: str) -> bool:
    with psycopg.connect(url) as session:
        return session.execute("SELECT 1").fetchone() == (1,)


def _pid_file(home: Path) -> Path:
    return home / "postgres" / "postmaster.pid"


def _pid(home: Path) -> int:
    return int(_pid_file(home).read_text().splitlines()[0])


def test_it_starts_on_demand_and_is_found_again(home: Path) -> None:
    assert not embedded_running(home)
    url = start_embedded(home)
    pid = _pid(home)

    assert _answers(url)
    assert (start_embedded(home), _pid(home)) == (url, pid)
    assert embedded_running(home)
    assert stop_embedded(home)
    assert not embedded_running(home)
    assert not stop_embedded(home)


def test_what_was_written_is_there_after_a_stop(home: Path) -> None:
    with psycopg.connect(start_embedded(home)) as session:
        session.execute("CREATE TABLE kept AS SELECT 'ünï' AS word")
    stop_embedded(home)
    with psycopg.connect(start_embedded(home)) as session:
        assert session.execute("SELECT word FROM kept").fetchone() == ("ünï",)


def test_commands_at_once_share_one_server(home: Path) -> None:
    def say_url(_: int) -> str:
        command = [sys.executable, "-c", _SAY_URL, str(home)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with ThreadPoolExecutor(4) as threads:
        urls = set(threads.map(say_url, range(4)))

    assert len(urls) == 1
    assert _answers(urls.pop())


def test_it_outlives_its_killed_starter(home: Path) -> None:
    died = subprocess.run([sys.executable, "-c", _START_AND_DIE, str(home)], check=False)

    assert died.returncode == -signal.SIGKILL
    assert embedded_running(home)
    assert _answers(start_embedded(home))


def test_it_comes_back_after_being_killed(home: Path) -> None:
    with psycopg.connect(start_embedded(home)) as session:
        session.execute("CREATE TABLE kept AS SELECT 1 AS n")
    os.kill(_pid(home), signal.SIGKILL)
    while embedded_running(home):  # a signal takes its moment
        pass
    with psycopg.connect(start_embedded(home)) as session:
        assert session.execute("SELECT n FROM kept").fetchone() == (1,)


def test_a_stale_pid_file_that_names_a_living_stranger_misleads_nobody(home: Path) -> None:
    start_embedded(home)
    lines = _pid_file(home).read_text().splitlines()
    stop_embedded(home)
    _pid_file(home).write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    assert not embedded_running(home)
    assert not stop_embedded(home)
    assert _answers(start_embedded(home))


def test_a_half_made_data_directory_is_begun_anew(home: Path) -> None:
    (home / "postgres.new").mkdir()
    (home / "postgres.new" / "PG_VERSION").write_text("18\n")

    assert _answers(start_embedded(home))


def test_a_home_too_long_for_a_socket_works(home: Path) -> None:
    long = home / ("x" * 60) / ("y" * 60)
    url = start_embedded(long)
    try:
        assert _answers(url)
        assert start_embedded(long) == url
    finally:
        stop_embedded(long)

    assert not Path(make_url(url).query["host"]).exists(), "the socket's directory goes with it"


def test_a_home_with_odd_characters_works(home: Path) -> None:
    odd = home / 'it\'s a "home" of $HOME, & 100%'
    try:
        assert _answers(start_embedded(odd))
    finally:
        stop_embedded(odd)


def test_no_directory_is_opened_to_others(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    start_embedded(closed)
    try:
        modes = {stat.S_IMODE(each.stat().st_mode) for each in (home, closed, closed / "postgres")}
        assert modes == {0o700}
    finally:
        stop_embedded(closed)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_the_server_inherits_no_secret(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "hunter2")
    start_embedded(home)

    assert b"hunter2" not in Path(f"/proc/{_pid(home)}/environ").read_bytes()


def test_the_servers_programs_are_told_nothing_by_variables_of_theirs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made, started, found and stopped by its own settings alone."""
    for name, value in {
        "PGDATA": "/nowhere",
        "PGPORT": "1",
        "PGOPTIONS": "-c no_such_setting=1",
        "PGHOST": "/nowhere",
        "PGDATABASE": "nowhere",
        "PGUSER": "nobody",
        "PGCTLTIMEOUT": "0",
        "PGCLIENTENCODING": "LATIN1",
        "PGTZ": "nowhere",
        "PG_COLOR": "always",
    }.items():
        monkeypatch.setenv(name, value)
    with connect_now(start_embedded(home), "tests") as session:
        assert session.execute("SHOW data_directory").fetchone() == (str(home / "postgres"),)
        assert session.execute("SHOW server_encoding").fetchone() == ("UTF8",)
    assert stop_embedded(home)


def test_data_of_another_version_is_refused(home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(DatabaseUnavailableError, match="created by PostgreSQL 12"):
        start_embedded(home)


def test_a_home_that_is_a_file_is_named(home: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(DatabaseUnavailableError, match=r"cannot use .*file.*Set RAYSYNC_HOME"):
        start_embedded(home / "file")


def test_a_server_that_cannot_start_says_its_last_words(home: Path) -> None:
    start_embedded(home)
    stop_embedded(home)
    (home / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(DatabaseUnavailableError, match="pg_control"):
        start_embedded(home)


def test_a_closed_directory_is_found_from_the_root_down(home: Path) -> None:
    inner = home / "open" / "closed" / "inner"
    inner.mkdir(parents=True)
    home.chmod(0o711)
    (home / "open" / "closed").chmod(0o700)
    stranger = pwd.struct_passwd(("nobody", "x", 65534, 65534, "", "/", "/bin/false"))

    assert first_closed(inner, stranger) == (home / "open" / "closed").resolve()
    assert first_closed(home / "open", stranger) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root switches to another user")
def test_root_without_a_way_past_a_closed_directory_is_told_which(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DatabaseUnavailableError, match=f"chmod o\\+x {home}"):
        account_for(home / "postgres", [home / "postgres"])
