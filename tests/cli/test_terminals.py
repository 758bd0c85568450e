"""Exit codes and words of every command, wherever its output goes."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from typer.main import get_command

from raysync.cli.app import app
from tests.cli.terminals import (
    COMMANDS,
    SETTINGS,
    Command,
    Ended,
    Forks,
    Kind,
    Setting,
    expected_code,
    faults_of,
    fill,
    run_in,
)

pytestmark = pytest.mark.skipif(
    not os.path.exists("/dev/full"),  # noqa: PTH110
    reason="no /dev/full on this platform",
)
ENCODINGS = ("C, ascii", "ascii", "latin-1", "ascii >full", "ascii 2>closed")


@pytest.fixture(scope="module")
def archive(postgres_url: str, template_url: str) -> Iterator[str]:
    """A filled database for all commands of this module."""
    name = f"test_{uuid.uuid4().hex}"
    new, old = sql.Identifier(name), sql.Identifier(str(make_url(template_url).database))
    with psycopg.connect(postgres_url, autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(new, old))
        url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
        fill(url)
        yield url
        session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(new))


@pytest.fixture(autouse=True)
def own_archive(archive: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", archive)
    monkeypatch.setenv("RAYSYNC_SECRET_KEY", "a secret key of the tests alone")
    monkeypatch.setenv("RAYSYNC_DISCORD_API_URL", "http://127.0.0.1:1/api/v10")


def leaves() -> set[str]:
    """The words of every command that does something."""
    found = set()

    def walk(command: object, words: list[str]) -> None:
        children = getattr(command, "commands", None)
        if children is None:
            found.add(" ".join(words))
        for name, child in (children or {}).items():
            walk(child, [*words, name])

    walk(get_command(app), [])
    return found


def test_every_command_is_tried():
    tried = {each.line for each in COMMANDS}

    assert {
        leaf for leaf in leaves() if not any(f"{t} ".startswith(f"{leaf} ") for t in tried)
    } == (set())


def pairs() -> list[tuple[Command, Setting]]:
    """A selection in which each command meets a setting, and each setting each kind of command.

    Every command that prints meets a poor encoding.
    """
    by_name = {each.name: each for each in SETTINGS}
    chosen: dict[tuple[str, str], tuple[Command, Setting]] = {}
    for number, command in enumerate(COMMANDS):
        names = [SETTINGS[number % len(SETTINGS)].name]
        if command.kind is not Kind.SILENT:
            names.append(ENCODINGS[number % len(ENCODINGS)])
        for name in names:
            chosen[command.line, name] = command, by_name[name]
    for setting in SETTINGS:
        for kind in Kind:
            if not any(c.kind is kind and s is setting for c, s in chosen.values()):
                command = next(each for each in COMMANDS if each.kind is kind)
                chosen[command.line, setting.name] = command, setting
    return list(chosen.values())


def run_all(
    tasks: list[tuple[Command, Setting]], folder: Path
) -> list[tuple[Command, Setting, Ended]]:
    """Run the tasks one after another: some change the archive."""
    forks = Forks(folder)
    try:
        return [(command, each, forks.run_in(each, command.arguments)) for command, each in tasks]
    finally:
        forks.close()


def test_no_place_of_the_output_changes_what_a_command_means(tmp_path):
    done = run_all(pairs(), tmp_path)

    assert "\n".join(fault for each in done for fault in faults_of(*each)) == ""


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_every_command_in_every_place(tmp_path, capsys):
    done = run_all([(command, each) for command in COMMANDS for each in SETTINGS], tmp_path)

    codes = {(command.line, setting.name): ended.code for command, setting, ended in done}
    with capsys.disabled():
        print()
        for command in COMMANDS:
            row = " ".join(f"{codes[command.line, each.name]:>3}" for each in SETTINGS)
            print(f"{row}  {command.line}")
        print("columns:", ", ".join(each.name for each in SETTINGS))
    assert "\n".join(fault for each in done for fault in faults_of(*each)) == ""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_processes_of_their_own_do_the_same():
    done = [(command, each, run_in(each, command.arguments)) for command, each in pairs()]

    assert "\n".join(fault for each in done for fault in faults_of(*each)) == ""


@pytest.mark.parametrize("name", [">full", ">closed", ">gone", "ascii"])
def test_the_console_script_does_the_same(name):
    (setting,) = [each for each in SETTINGS if each.name == name]
    command = Command("tenant list", Kind.SHOWS)
    script = os.path.join(os.path.dirname(sys.executable), "raysync")  # noqa: PTH118, PTH120

    ended = run_in(setting, command.arguments, (script,))

    assert ended.code == expected_code(command, setting)
    assert faults_of(command, setting, ended) == []
