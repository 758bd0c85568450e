"""Commands that a user may try next. They work when pasted."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from typing import Final

from rich.console import Console

from raysync.cli.output.console import print_line, say
from raysync.models.ids import JobId

_UNDER_UV: Final = "uv run raysync"
_COMMANDS: Final = (
    "start|submit|schedule|status|report|resume|cancel|verify|doctor|audit|reset|export|forget|"
    "privacy|dead-letters|tenant|db|demo|emulator|--debug"
)
_NAMED: Final = re.compile(rf"(?<![\w./-])(?<!uv run )(?<!-m )raysync(?= (?:{_COMMANDS})(?![\w-]))")
"""A command of raysync in a sentence, as lower layers write it: ``raysync start``."""


def invocation() -> str:
    """Return how this user starts raysync: ``uv run`` sets PATH for its children only."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return _UNDER_UV
    if shutil.which("raysync") is not None:
        return "raysync"
    return f"{shlex.quote(sys.executable)} -m raysync"


def command_line(*words: str) -> str:
    """Return the command line that runs raysync with *words*, quoted for a shell."""
    return f"{invocation()} {shlex.join(words)}"


def as_invoked(text: str) -> str:
    """Return *text* with its raysync commands named as this user starts them."""
    command = invocation()
    return _NAMED.sub(lambda _: command, text)


def suggest(sentence: str, command: str) -> None:
    """Print a sentence on stderr, and below it the command, on one line that never wraps."""
    say(sentence)
    print_line(f"  {command}", err=True)


def say_started(console: Console, tenant: str, job_id: JobId) -> None:
    """Print the job's id, and the command that watches it from another terminal."""
    command = command_line("status", "--job-id", job_id, "--watch")
    console.print(f"{tenant}: job {job_id}. Watch it from another terminal:", soft_wrap=True)
    console.print(f"  {command}", soft_wrap=True)


def say_dashboard(console: Console, url: str, needs_token: bool) -> None:
    """Print the address of Ray's dashboard, and how to get its token."""
    ray = "uv run ray" if invocation() == _UNDER_UV else "ray"
    hint = f" (its token: `{ray} get-auth-token`)" if needs_token else ""
    console.print(f"Ray dashboard: {url}{hint}", soft_wrap=True)
