"""No secret and no personal data remains after runs, crashes and errors."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import make_url

from raysync.emulator import Emulator, EmulatorThread, Limits
from tests.cluster.installation import Ended, Installation, ended, ray_environ
from tests.cluster.midrun import kill_all, pages_read
from tests.cluster.secrecy import Search, below, dashboard_of, forms_of
from tests.cluster.waiting import wait_until
from tests.recognizable_people import PERSONAL_VALUE, values_of_people, world_of_recognizable_people

TOKEN = "MTE4NzY1NDMyMTA5ODc2NTQzMg.GsEcRt.Qw3rTyUi0pAsDfGhJkLzXcVbNm1234567890xY"
SECRET_KEY = "sEcReT-kEy/of+the secrecy tests, 7c1f9e02"
PASSWORD = "p@ss/w0rd%of+the secrecy tests"
ANOTHER_TOKEN = "OTg3NjU0MzIxMDEyMzQ1Njc4OQ.HiDdEn.ZaYbXcWdVeUfTgShRiQjPkOlNmMnLoKpJqIrHs"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(500),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc"),
]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path: Ray's sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture
def program(directory: Path) -> Iterator[Installation]:
    """The whole product as a newcomer has it: embedded database, a Ray of its own."""
    for name in ("home", "ray", "tmp"):
        (directory / name).mkdir()
    environ = ray_environ() | {
        "RAYSYNC_HOME": str(directory / "home"),
        "RAYSYNC_SECRET_KEY": SECRET_KEY,
        "RAYSYNC_DEBUG": "1",
        "RAY_TMPDIR": str(directory / "ray"),
        "RAY_BACKEND_LOG_LEVEL": "debug",
        "TMPDIR": str(directory / "tmp"),
        "DISCORD_TOKEN": TOKEN,
        "SYNC_MAX_CHANNEL_WORKERS": "2",
        "SYNC_GLOBAL_REQUESTS_PER_SECOND": "1000",
        "SYNC_CHANNEL_PAGES_PER_SECOND": "20",
        "COLUMNS": "120",
    }
    made = Installation("", environ)
    url = made.raysync("db", "url").out.strip()
    try:
        yield Installation(url, environ)
    finally:
        made.raysync("db", "stop", "--force")


def test_no_secret_and_no_person_is_left_anywhere(program: Installation, directory: Path) -> None:
    world = world_of_recognizable_people(TOKEN)
    (guild_id,) = world.guilds
    secrets = {
        **forms_of("the token", TOKEN),
        **forms_of("the secret key", SECRET_KEY),
        **forms_of("the password", PASSWORD),
        **forms_of("the other tenant's token", ANOTHER_TOKEN),
    }
    search, outputs = Search(secrets), []
    with EmulatorThread(world, limits=Limits(speed=20.0)) as emulator:
        program = program.for_emulator(emulator)
        add_with_token_on_stdin(program, guild_id, outputs)
        # the password is asked by nobody here, and is in the address all the same
        secret_url = make_url(program.database_url).set(password=PASSWORD)
        program = program.with_environ(
            RAYSYNC_DATABASE_URL=secret_url.render_as_string(hide_password=False),
            OTHER_TOKEN=ANOTHER_TOKEN,
        )
        of_nobody = ("--guild", "7", "--token-env", "OTHER_TOKEN", "--no-check")
        other = ("tenant", "add", "other", *of_nobody)
        outputs.append(program.raysync(*other))
        # slow enough to be in the middle of it while everything is looked at
        crash(program.with_environ(SYNC_GLOBAL_REQUESTS_PER_SECOND="1"), emulator, search)
        with program.starting("--tenant", "takaro", "--reactors") as run:
            outputs.append(ended(run, within_s=240))
        assert outputs[-1].code == 0, outputs[-1].err
        outputs += erring(program)
        messages = len(program.exported("takaro"))
    for output in outputs:
        search.text("what a command said", output.out + output.err)
    search.files(directory / name for name in ("home", "ray", "tmp"))
    search.database(program.database_url)

    assert search.found == []
    assert messages > 200
    assert search.looked_at > 500, "it looked at nothing"

    people = Search(values_of_people(world), PERSONAL_VALUE)
    people.files(directory / name for name in ("home", "ray", "tmp"))
    people.database(program.database_url)
    for each in outputs:
        people.text("what a command said", each.out + each.err)

    assert people.found == []


def add_with_token_on_stdin(program: Installation, guild_id: int, outputs: list[Ended]) -> None:
    command = ["tenant", "add", "takaro", "--guild", str(guild_id), "--token-stdin"]
    added = subprocess.run(
        [sys.executable, "-m", "raysync", *command],
        env=program.environ,
        input=TOKEN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert added.returncode == 0, added.stderr
    outputs.append(Ended(added.returncode, added.stdout, added.stderr))


def crash(program: Installation, emulator: Emulator, search: Search) -> None:
    """A run in whose middle a worker is killed, and then the driver; looked at from all sides."""
    with program.starting("--tenant", "takaro") as run:
        wait_for(emulator, 3, run)
        started = below(run.pid)
        try:
            search.command_lines([psutil.Process(run.pid), *started])
            search.environments(started)
            search.dashboard(dashboard_of(started))
            workers = [
                process for process in started if _title(process).startswith("ray::ChannelSync")
            ]
            assert kill_all(workers[:1]) == 1
            wait_for(emulator, pages_read(emulator) + 2, run)
            search.environments(below(run.pid))
            run.kill()
            out, err = run.communicate(timeout=60)
            search.text("what the killed run said", out + err)
        finally:
            for process in started:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
    wait_until(lambda: not any(map(_lives, started)), 30)


def wait_for(emulator: Emulator, pages: int, run: subprocess.Popen[str]) -> None:
    """Ray says a lot at this level of logging, and takes its time for it."""
    wait_until(lambda: run.poll() is not None or pages_read(emulator) >= pages, 180)
    assert run.poll() is None, "it ended before it could be crashed"


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error, IndexError):
        return str(process.cmdline()[0])
    return ""


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def erring(program: Installation) -> list[Ended]:
    """Commands that tell of the installation, and commands that fail, each with its traceback."""
    nowhere = make_url(program.environ["RAYSYNC_DATABASE_URL"]).set(query={"host": "/nowhere"})
    lost = program.with_environ(RAYSYNC_DATABASE_URL=nowhere.render_as_string(hide_password=False))
    garbled = program.with_environ(RAYSYNC_DATABASE_URL=f"postgresql://me:{PASSWORD}@[::1")
    other_key = program.with_environ(RAYSYNC_SECRET_KEY="another key of sufficient length")
    failing = [
        lost.raysync("status"),
        lost.raysync("start"),
        garbled.raysync("status"),
        other_key.raysync("start", "--tenant", "takaro"),
        program.raysync("tenant", "add", "x", "--guild", "8", "--token-env", "NOT SUCH A NAME"),
        program.raysync("tenant", "add", "x", "--guild", "8", "--token-file", TOKEN),
        program.raysync("doctor", "--tenant", "other"),  # its token is one that Discord refuses
    ]
    assert all(each.code in (1, 2) for each in failing), [each.code for each in failing]
    telling = [
        program.raysync("status", "--json", "--all"),
        program.raysync("doctor", "--json"),
        program.raysync("tenant", "show", "takaro", "--json"),
        program.raysync("audit", "--json"),
        program.raysync("export", "--tenant", "takaro", "--format", "jsonl"),
    ]
    assert json.loads(telling[0].out)["jobs"]
    return failing + telling
