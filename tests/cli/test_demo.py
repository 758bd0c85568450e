"""`raysync demo`, as far as it goes without Ray: its emulator, and what it tells to try."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from raysync.cli.demo import command as demo
from raysync.cli.demo.emulator_process import DemoEmulatorError, start_emulator
from raysync.cli.output.invocation import invocation
from raysync.store.server.embedded import stop_embedded


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url.removesuffix('/api/v10')}/_emulator/state", timeout=5):
            return True
    except OSError:  # an end in the middle of an answer, too
        return False


def test_the_emulator_answers_takes_news_and_ends(tmp_path):
    emulator = start_emulator(tmp_path, limited=True, exits_with_parent=True, messages=1_000)
    try:
        assert answers(emulator.url)
        with pytest.raises(DemoEmulatorError):
            emulator.post_messages([(1, "to a channel there is not")])
    finally:
        emulator.stop()

    assert not answers(emulator.url)


def test_the_demos_discord_is_asked_through_no_proxy(tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "a.example")
    emulator = start_emulator(tmp_path, limited=True, exits_with_parent=True, messages=1_000)
    try:
        with pytest.raises(DemoEmulatorError, match="400"):  # an answer of its own
            emulator.post_messages([(1, "to a channel there is not")])
        steps = demo._next_steps(tmp_path, emulator)
    finally:
        emulator.stop()

    assert "  export NO_PROXY=a.example,127.0.0.1 no_proxy=a.example,127.0.0.1" in steps


def test_an_emulator_ends_when_its_parent_is_killed(tmp_path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from raysync.cli.demo.emulator_process import start_emulator\n"
        "e = start_emulator(\n"
        "    Path(sys.argv[1]), limited=True, exits_with_parent=True, messages=1000)\n"
        "print(e.url, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    url = done.stdout.strip()

    deadline_s = time.monotonic() + 30
    while answers(url) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert url
    assert not answers(url)


def test_an_emulator_that_cannot_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(DemoEmulatorError, match="did not start"):
        start_emulator(tmp_path, limited=True, exits_with_parent=True)


def test_what_to_try_next_works_with_a_real_installation_beside_it(monkeypatch, tmp_path):
    home = tmp_path / "a home" / "demo"
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", "postgresql://prod.example/db")

    steps = "\n".join(demo._next_steps(home, None))

    exported = next(line for line in steps.splitlines() if "export" in line)
    shell = f'{exported.strip()}; echo "$RAYSYNC_HOME|$RAYSYNC_DATABASE_URL"'
    told = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == f"{home}|"
    assert "status --tenant demo" in steps
    assert "db stop" in steps


def test_the_demo_uses_nothing_of_a_real_installation(monkeypatch, tmp_path):
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", "postgresql://prod.example/db")
    monkeypatch.setenv("RAYSYNC_SECRET_KEY", "the key of a real installation")
    monkeypatch.setenv("RAY_ADDRESS", "prod.example:6379")
    emulator = start_emulator(tmp_path, limited=False, exits_with_parent=True, messages=1_000)
    try:
        settings = demo._settings(tmp_path, emulator, fast=True)
    finally:
        emulator.stop()

    assert (settings.home, settings.database_url, settings.secret_key) == (tmp_path, None, None)
    assert (settings.discord_api_url, settings.ray_address) == (emulator.url, None)


def test_a_later_start_is_told_that_the_demos_discord_has_ended(monkeypatch, tmp_path, run):
    emulator = start_emulator(tmp_path, limited=False, exits_with_parent=True, messages=1_000)
    emulator.stop()
    try:
        settings = demo._settings(tmp_path, emulator, fast=True)
        asyncio.run(demo._renew_tenant(settings, emulator))
        monkeypatch.setenv("RAYSYNC_HOME", str(tmp_path))

        told = run("start", "--tenant", "demo")
    finally:
        stop_embedded(tmp_path)

    assert told.exit_code == 2
    assert (
        f"The demo's Discord has ended: `{invocation()} demo --keep` keeps one running"
        in told.stderr
    )


def test_the_command_to_paste_runs(tmp_path):
    environment = {**os.environ, "RAYSYNC_HOME": str(tmp_path), "UV_NO_SYNC": "1"}
    told = subprocess.run(
        ["/bin/sh", "-c", f"{invocation()} --version"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path(__file__).parent,
    )

    assert told.stdout.startswith("raysync ")


def test_an_emulator_of_a_checkout_says_what_works_when_pasted_there():
    command = [sys.executable, "-m", "raysync", "emulator", "serve", "--port", "0"]
    environment = {**os.environ, "UV_RUN_RECURSION_DEPTH": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as served:
        told = [served.stdout.readline() for _ in range(4)]
        served.terminate()
        served.communicate()

    assert told[-1].startswith("  uv run raysync tenant add emulated --guild ")
