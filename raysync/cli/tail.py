"""Command `raysync tail`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli.error_handling import EXIT_INTERRUPTED
from raysync.cli.output.console import print_line, say
from raysync.signals import call_at_end, call_at_hangup

if TYPE_CHECKING:
    from raysync.models.live import TailNote
    from raysync.run.tail_metrics import TailMetrics

_SENTENCES = {
    "listening": "listening: what happens from now on is stored",
    "settled": "settled: what happened before is stored, too",
    "interrupted": "interrupted: {reason} Listening again as soon as possible",
    "resumed": "resumed: nothing was missed",
    "stopped": "stopped",
}


def tail(
    tenant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLUG",
            help="Listen for this tenant. Repeat it for several. [default: every active tenant]",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line on stdout.")
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, metavar="PORT", help="Serve metrics for Prometheus at this port."
        ),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Serve them at this address of the machine.")
    ] = "127.0.0.1",
) -> None:
    """Keep archives up to date to the second, until it is stopped.

    Listens to Discord's gateway, and stores every message, edit, deletion and reaction at once.
    What happened before is read by runs of its own. A tail that is stopped, killed or upgraded
    continues where the archive stands.

    While a tail listens, `raysync start` neither looks back nor lists archived threads.

    Exit codes: 0 after SIGTERM or SIGHUP, 130 after Ctrl-C, 1 failed, 2 usage or configuration.
    """
    from raysync.logs import configure_logs
    from raysync.run.tail import run_tail
    from raysync.settings import read_settings

    settings = read_settings()
    configure_logs(settings.log_format, role="tail")
    end_metrics, meter = _metrics(metrics_host, metrics_port)
    tell = print_json_line if as_json else print_sentence
    try:
        interrupted = asyncio.run(
            _until_signalled(lambda stop: run_tail(tenant or [], settings, tell, stop, meter))
        )
    finally:
        end_metrics()
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def _metrics(host: str, port: int | None) -> tuple[Callable[[], None], TailMetrics | None]:
    """Serve metrics if a port is given. Return what ends that, and the meter."""
    if port is None:
        return lambda: None, None
    from raysync.run.tail_metrics import TailMetrics

    meter = TailMetrics()
    return meter.serve(host, port), meter


async def _until_signalled(run: Callable[[asyncio.Event], Awaitable[None]]) -> bool:
    """Run the tail until a signal. Return whether it was Ctrl-C."""
    stop, interrupted = asyncio.Event(), asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        if stop.is_set() and task is not None:
            task.cancel()  # a second Ctrl-C ends it at once
        interrupted.set()
        stop.set()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    call_at_end(stop.set)
    call_at_hangup(stop.set)
    try:
        await run(stop)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    return interrupted.is_set()


def print_json_line(note: TailNote) -> None:
    """Print a note for programs."""
    import orjson

    line = dict(at=note.at, tenant=note.tenant, event=note.event) | note.details  # noqa: C408 no log record
    print_line(orjson.dumps(line).decode())
    sys.stdout.flush()


def print_sentence(note: TailNote) -> None:
    """Print a note for people, on stderr."""
    sentence = _SENTENCES[note.event].format(**{"reason": ""} | note.details)
    if note.event == "stopped" and "reason" in note.details:
        sentence = f"stopped: {note.details['reason']}"
    say(f"{note.at:%H:%M:%S} {note.tenant}: {sentence.rstrip('.')}.")
