"""What is printed where the output is of a poor encoding, full, closed, or read by nobody."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest
from rich.live import Live

from raysync.cli.output.console import err, out, plain_table, print_json, print_line, say
from raysync.cli.output.streams import (
    OutputStream,
    ReaderGoneError,
    StdoutError,
    guarded_streams,
    keep_exit_code,
)
from raysync.cli.progress.summary import print_result
from raysync.cli.runs.start import show as show_run
from raysync.logs import LogFormat, configure_logs
from raysync.models.results import RunResult, SkippedChannel
from tests.cli.samples import job_result
from tests.cli.terminals import NAME

NAMED = "caf\u00e9 \u2013 \u65e5\u672c \U0001f3ae \u2192 \u2026"


def result() -> RunResult:
    skipped = SkippedChannel(channel_id="7", name=NAMED, reason=NAMED)
    return RunResult(jobs=[job_result(skipped=[skipped])])


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Run what prints, with streams of an encoding; the bytes of both."""

    def of(printing: Callable[[], None], encoding: str) -> bytes:
        below = io.BytesIO()
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(below, encoding=encoding))
        with guarded_streams(say):
            printing()
        return below.getvalue()

    return of


def full() -> TextIO:
    return open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123


def unread() -> TextIO:
    read, written = os.pipe()
    os.close(read)
    return os.fdopen(written, "w", encoding="utf-8")


def closed() -> TextIO:
    stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    stream.close()
    return stream


@pytest.fixture(params=[full, unread, closed, None])
def lost(request: pytest.FixtureRequest) -> Iterator[TextIO | None]:
    """A stream that takes nothing; None is what Python has for a closed descriptor."""
    stream = request.param() if request.param else None
    yield stream
    if stream is not None:
        stream.close()


def listen(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What comes to stderr from now on."""
    below = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(below, encoding="utf-8"))
    return below


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", rb"caf\xe9 - \u65e5\u672c \U0001f3ae -> ..."),
        ("latin-1", b"caf\xe9 - " + rb"\u65e5\u672c \U0001f3ae -> ..."),
        ("cp1252", b"caf\xe9 \x96 " + rb"\u65e5\u672c \U0001f3ae ->" + b" \x85"),
        ("utf-8", NAMED.encode()),
    ],
)
def test_what_an_encoding_lacks_has_stand_ins(printed, encoding, shown):
    for printing in (
        lambda: print_line(NAMED),
        lambda: print_line(NAMED, err=True),
        lambda: say(NAMED),
        lambda: out().print(NAMED),
    ):
        assert printed(printing, encoding) == shown + b"\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_means_the_same_in_every_encoding(printed, encoding):
    shown = printed(lambda: print_json(json.dumps({"name": NAMED}, ensure_ascii=False)), encoding)

    assert json.loads(shown.decode(encoding)) == {"name": NAMED}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_lines_of_the_log_mean_the_same(printed, encoding):
    root, logger = logging.getLogger(), logging.getLogger("raysync")
    before = root.handlers, root.level, logger.level

    def log() -> None:
        configure_logs(LogFormat.JSON)
        logging.getLogger("raysync.x").warning("it is %s", NAMED)

    try:
        shown = printed(log, encoding)
    finally:
        root.handlers = before[0]
        root.setLevel(before[1])
        logger.setLevel(before[2])

    assert json.loads(shown.decode(encoding))["message"] == f"it is {NAMED}"


def test_tables_and_summaries_are_drawn_in_ascii(printed):
    def draw() -> None:
        table = plain_table("channel", ">messages")
        table.add_row(NAME, "7")
        out().print(table)
        print_result(out(), result())

    shown = printed(draw, "ascii")

    assert shown.isascii()
    assert b"---" in shown
    assert rb"\u2500" not in shown  # what tables are drawn with has stand-ins
    assert rb"\u2588" not in shown  # and bars


@pytest.mark.parametrize("colour", [False, True])
def test_no_line_of_a_pipe_ends_with_spaces(printed, monkeypatch, colour):
    if colour:
        monkeypatch.setenv("FORCE_COLOR", "1")

    def draw() -> None:
        table = plain_table("channel", "says")
        table.add_row("a long one", "x")
        table.add_row("b", "something longer")
        out().print(table)
        print_result(out(), result())
        err().print("label   ")
        out().print("half   ", end="")
        out().print("whole")

    lines = printed(draw, "utf-8").decode().split("\n")

    assert "half   whole" in lines
    assert [each for each in lines if each.replace("\x1b[0m", "").endswith(" ")] == []


def test_a_lost_stdout_is_told_and_ends_no_work(monkeypatch, lost):
    said = listen(monkeypatch)
    monkeypatch.setattr(sys, "stdout", lost)

    with guarded_streams(say):
        keep_exit_code()
        for as_json in (False, True):
            show_run(result(), as_json=as_json)

    assert said.getvalue().count(b"The result is not shown completely") == 1


def test_a_lost_stdout_is_an_error_where_it_is_all_that_is_wanted(monkeypatch, request, lost):
    monkeypatch.setattr(sys, "stdout", lost)
    kind = ReaderGoneError if "unread" in request.node.name else StdoutError

    with guarded_streams(say):
        for printing in (
            lambda: print_line("x"),
            lambda: print_json("{}"),
            lambda: out().print("x"),
        ):
            with pytest.raises(StdoutError, match="Cannot write to stdout") as raised:
                printing()
            assert type(raised.value) is kind


def test_a_lost_stderr_ends_nothing(monkeypatch, lost):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    monkeypatch.setattr(sys, "stderr", lost)

    with guarded_streams(say):
        say("x")
        print_line("x", err=True)
        logging.getLogger("nobody.handles").warning("x")
        with Live("x", console=err(), redirect_stderr=False):
            say("y")
        print_line("a result")

        assert isinstance(sys.stdout, OutputStream)
        assert sys.stdout.loss is None
        assert sys.stderr.loss is not None


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def test_what_does_not_fit_at_once_is_written_whole():
    read, written = os.pipe()
    os.set_blocking(written, False)
    below = os.fdopen(written, "w", encoding="utf-8")
    stream = OutputStream(below, "stdout")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(_read(read)))
    text = "x" * 3_000_000

    reader.start()
    stream.write(text)
    below.close()
    reader.join()

    assert found == [text.encode()]
    assert stream.loss is None


def test_a_closed_descriptor_is_filled_before_a_file_takes_its_place(tmp_path):
    program = (
        "import os, sys\n"
        "from raysync.cli.output.streams import guarded_streams\n"
        "with guarded_streams(print):\n"
        "    opened = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
        "    os.system('echo to stdout; echo to stderr >&2')\n"
        "    sys.exit(opened)\n"
    )
    target = tmp_path / "opened"
    shell = 'exec "$@" <&- >&- 2>&-'

    done = subprocess.run(
        ["/bin/sh", "-c", shell, "sh", sys.executable, "-c", program, str(target)], check=False
    )

    assert done.returncode > 2
    assert target.read_bytes() == b""


@pytest.mark.parametrize(
    ("environment", "observer"),
    [({}, "LiveObserver"), ({"PYTHONIOENCODING": "ascii"}, "PlainObserver")],
)
def test_a_terminal_of_a_poor_encoding_gets_lines(environment, observer):
    program = "from raysync.cli.runs.start import observer; print(type(observer()).__name__)"
    parent, child = pty.openpty()
    try:
        shown = subprocess.run(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=child,
            env=os.environ | {"TERM": "xterm", "LC_ALL": "C.UTF-8"} | environment,
            check=True,
        ).stdout
    finally:
        os.close(parent)
        os.close(child)

    assert shown.decode().strip() == observer


@pytest.mark.parametrize(
    ("answer", "stderr", "code"),
    [
        (b"y\n", "", 0),
        (b"N\n", "", 1),
        (b"\n", "", 1),
        (b"what\nyes\n", "", 0),
        (b"\x04", "", 1),
        (b"\xc3\xa9\ny\n", "", 0),
        (b"y\n", "2>&-", 2),
        (b"y\n", "2>/dev/full", 2),
    ],
)
def test_a_question_that_nobody_sees_is_not_answered(answer, stderr, code):
    program = (
        "import typer\n"
        "from raysync.cli.app import app\n"
        "from raysync.cli.confirmation import require_confirmation\n"
        "app.command('ask')(lambda: require_confirmation('For good?', yes=False))\n"
        "app(['ask'])\n"
    )
    parent, child = pty.openpty()
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    with subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {stderr}', "sh", sys.executable, "-c", program],
        stdin=child,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        os.close(child)
        os.write(parent, answer)
        printed, said = process.communicate()
    os.close(parent)

    assert process.returncode == code, said
    assert printed == b""
    assert b"Traceback" not in said


@pytest.mark.parametrize("closing", [">&-", ">/dev/full", ">&- 2>&-"])
def test_an_emulator_serves_though_nobody_sees_where(tmp_path, closing):
    ready = tmp_path / "ready.json"
    arguments = ["emulator", "serve", "--port", "0", "--ready-file", str(ready)]
    program = [sys.executable, "-m", "raysync", *arguments]
    os.mkfifo(ready)
    with subprocess.Popen(["/bin/sh", "-c", f'exec "$@" {closing}', "sh", *program]) as process:
        url = json.loads(Path(ready).read_text(encoding="utf-8"))["url"]
        process.send_signal(signal.SIGTERM)

    assert url.startswith("http://127.0.0.1:")
    assert process.returncode == 0
