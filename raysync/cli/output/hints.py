"""Commands that a user may try next. They work when pasted."""

from __future__ import annotations

import shlex

from rich.console import Console

from raysync.cli.output.console import print_line, say
from raysync.cli.output.invocation import invocation
from raysync.models.ids import JobId


def command_line(*words: str) -> str:
    """Return the command line that runs raysync with *words*, quoted for a shell."""
    return f"{invocation()} {shlex.join(words)}"


def suggest(sentence: str, command: str) -> None:
    """Print a sentence on stderr, and below it the command, on one line that never wraps."""
    say(sentence)
    print_line(f"  {command}", err=True)


def say_started(console: Console, tenant: str, job_id: JobId) -> None:
    """Print the job's id, and the command that watches it from another terminal."""
    command = command_line("status", "--job-id", job_id, "--watch")
    console.print(f"{tenant}: job {job_id}. Watch it from another terminal:", soft_wrap=True)
    console.print(f"  {command}", soft_wrap=True)


def say_dashboard(console: Console, url: str, token_source: str | None) -> None:
    """Print the address of Ray's dashboard, and where its token is."""
    hint = f" (its token is in {token_source})" if token_source else ""
    console.print(f"Ray dashboard: {url}{hint}", soft_wrap=True)
