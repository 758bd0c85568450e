"""``python -m tests.cli.forking``: commands in forks of one process that has imported them.

A command takes 50 ms instead of a second. Each line of stdin is a request, each line of stdout the
exit code. A fork has real descriptors, with Python's streams over them.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from importlib import import_module
from typing import Any

IMPORTED_BY_COMMANDS = [
    "raysync.__main__",
    "raysync.submission.jobs",
    "raysync.cli.job_report.page",
    "raysync.cli.progress.status_view",
    "raysync.doctor",
    "raysync.run.driver",
    "raysync.emulator",
    "raysync.privacy",
    "raysync.store.server.migrate",
    "raysync.store.privacy.subject_export",
    "rich.live",
    "rich.table",
]


def serve() -> None:
    """Answer requests until stdin ends."""
    for name in IMPORTED_BY_COMMANDS:
        import_module(name)
    gc.freeze()
    replies = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(run(request))
        _, status = os.waitpid(child, 0)
        replies.write(f"{os.waitstatus_to_exitcode(status)}\n")
        replies.flush()


def run(request: dict[str, Any]) -> int:
    """Run a command, and end as Python does, whose own end takes longer than most commands."""
    become(request)
    try:
        import_module("raysync.__main__").main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 as the interpreter does
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            if sys.stderr is not None:
                sys.stderr.write("Exception ignored in a stream\n")
            code = 120
    return code


def become(request: dict[str, Any]) -> None:
    """Take the command's arguments, environment, and streams as Python makes them."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    places = {1: request["stdout"], 2: request["stderr"]}
    for number, place in places.items():
        if place == "gone":
            read, written = os.pipe()
            os.close(read)
            os.dup2(written, number)
        elif place != "closed":
            os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT, 0o600), number)
    for number, place in places.items():
        if place == "closed":
            os.close(number)
    sys.stdin = sys.__stdin__ = _stream(0, "r", request["encoding"])
    sys.stdout = sys.__stdout__ = _stream(1, "w", request["encoding"])
    sys.stderr = sys.__stderr__ = _stream(2, "w", request["encoding"])
    sys.argv = ["raysync", *request["arguments"]]


def _stream(number: int, mode: str, encoding: str) -> Any:
    try:
        os.fstat(number)
    except OSError:
        return None
    return open(number, mode, encoding=encoding, closefd=False)


if __name__ == "__main__":
    serve()
