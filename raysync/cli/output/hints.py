"""What to try next, as commands that work when pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

from rich.console import Console

from raysync.models.ids import JobId

_UNDER_UV = "uv run raysync"


def invocation() -> str:
    """How this user starts raysync: ``uv run`` puts it on the path of its children alone."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return _UNDER_UV
    if shutil.which("raysync") is not None:
        return "raysync"
    return f"{shlex.quote(sys.executable)} -m raysync"


def say_started(console: Console, tenant: str, job_id: JobId) -> None:
    """Name the job, and how to look at it from elsewhere."""
    command = f"{invocation()} status --job-id {job_id} --watch"
    console.print(f"{tenant}: job {job_id}; to look at it from elsewhere:", soft_wrap=True)
    console.print(f"  {command}", soft_wrap=True)


def say_dashboard(console: Console, url: str, needs_token: bool) -> None:
    """Say where to watch the run's actors, and how to get in."""
    ray = "uv run ray" if invocation() == _UNDER_UV else "ray"
    hint = f" (its token: `{ray} get-auth-token`)" if needs_token else ""
    console.print(f"Ray dashboard: {url}{hint}", soft_wrap=True)
