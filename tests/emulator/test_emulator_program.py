"""`raysync emulator serve` as a program."""

import json
import signal
import socket
import stat
import subprocess
import sys
import urllib.request

import pytest

pytestmark = pytest.mark.cli

PROGRAM = [sys.executable, "-c", "from raysync.cli.emulator.commands import app; app()", "serve"]


def start(*options):
    """Start the program."""
    return subprocess.Popen(
        [*PROGRAM, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ready_at(path, program):
    """Wait for the line that says it is ready; return what the ready file says, and it."""
    line = program.stdout.readline()
    return json.loads(path.read_text()), line


def get(ready, path):
    """Ask the emulator as its bot."""
    request = urllib.request.Request(ready["url"] + path)
    request.add_header("Authorization", f"Bot {ready['token']}")
    with urllib.request.urlopen(request) as response:
        return json.loads(response.read())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_says_where_it_is_serves_and_ends_cleanly(tmp_path, number):
    path = tmp_path / "ready.json"
    options = ["--port", "0", "--ready-file", str(path), "--token", "abc", "--guild-id", "42"]
    program = start(*options, "--preset", "uniform", "--channels", "2", "--messages", "600")
    with program:
        ready, line = ready_at(path, program)
        guild = get(ready, "/guilds/42")
        program.send_signal(number)
        output = program.stdout.read()

    assert guild["id"] == "42"
    assert (ready["token"], ready["guilds"], ready["pid"]) == ("abc", ["42"], program.pid)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"export RAYSYNC_DISCORD_API_URL={ready['url']}" in output
    assert "guild 42, 600 messages" in line
    assert program.returncode == 0


def test_under_nohup_it_outlives_its_terminal(tmp_path):
    path = tmp_path / "ready.json"
    nohup = ["nohup", *PROGRAM, "--port", "0", "--ready-file", str(path)]
    with subprocess.Popen(nohup, stdout=-1, stderr=subprocess.DEVNULL, text=True) as program:
        ready, _ = ready_at(path, program)
        program.send_signal(signal.SIGHUP)
        assert get(ready, f"/guilds/{ready['guilds'][0]}")
        program.terminate()

    assert program.returncode == 0


def test_a_taken_port_is_one_sentence_and_exit_2():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = start("--port", str(port))
        output, _ = program.communicate(timeout=60)

    assert program.returncode == 2
    assert output == (
        f"Cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Choose another --host or --port.\n"
    )


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--corpus", "/nowhere.jsonl"], id="no-such-corpus"),
        pytest.param(["--faults", "/nowhere.json"], id="no-such-script"),
        pytest.param(["--channels", "3"], id="channels-of-a-preset-without"),
        pytest.param(["--bucket", "round"], id="no-such-bucket"),
        pytest.param(["--token", "a", "--token", "b"], id="more-tokens-than-guilds"),
        pytest.param(["--guild-id", "4", "--guild-id", "5"], id="more-ids-than-guilds"),
        pytest.param(["--guilds", "2", "--token", "a", "--token", "a"], id="a-token-twice"),
        pytest.param(["--missing-route", "GET /nowhere"], id="no-such-route"),
        pytest.param(["--missing-form", "loud"], id="no-such-form"),
    ],
)
def test_a_wrong_option_is_exit_2(options):
    program = start(*options)
    output, _ = program.communicate(timeout=60)

    assert program.returncode == 2
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("form", "held"),
    [
        pytest.param([], "fixed", id="as-it-comes"),
        pytest.param(["--global-form", "sliding"], "sliding", id="as-buckets-call-it"),
        pytest.param(["--global-form", "leaky"], "sliding", id="by-its-other-name"),
    ],
)
def test_the_global_limit_is_held_as_was_said(tmp_path, form, held):
    path = tmp_path / "ready.json"
    program = start("--port", "0", "--ready-file", str(path), *form)
    with program:
        ready, _ = ready_at(path, program)
        origin = ready["url"].removesuffix("/api/v10")
        with urllib.request.urlopen(f"{origin}/_emulator/state") as response:
            limits = json.loads(response.read())["limits"]
        program.send_signal(signal.SIGTERM)
        program.stdout.read()

    assert limits["global_form"] == held


def test_one_that_others_reach_says_so(tmp_path):
    path = tmp_path / "ready.json"
    program = start("--host", "0.0.0.0", "--port", "0", "--ready-file", str(path))
    with program:
        _, line = ready_at(path, program)
        program.send_signal(signal.SIGTERM)
        output = line + program.stdout.read()

    assert "Note: everybody who can reach 0.0.0.0 can use this emulator." in output


def test_it_serves_several_guilds_with_a_bot_each(tmp_path):
    path = tmp_path / "ready.json"
    options = ["--port", "0", "--ready-file", str(path), "--guilds", "3", "--guild-id", "42"]
    tokens = [text for token in ("a", "b", "c") for text in ("--token", token)]
    program = start(*options, *tokens)
    with program:
        ready, _ = ready_at(path, program)
        seen = {bot["token"]: bot["guilds"] for bot in ready["bots"]}
        own = [get({**ready, "token": token}, "/users/@me/guilds") for token in seen]
        program.send_signal(signal.SIGTERM)
        output = program.stdout.read()

    assert [[each["id"] for each in guilds] for guilds in own] == list(seen.values())
    assert [guild for guilds in seen.values() for guild in guilds] == ready["guilds"]
    assert ready["guilds"][0] == "42"
    assert len(set(ready["guilds"])) == 3
    for number, guild_id in enumerate(ready["guilds"], 1):
        assert f"tenant add emulated-{number} --guild {guild_id} --token-env DISCORD" in output
