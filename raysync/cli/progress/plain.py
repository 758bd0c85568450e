"""Progress as plain lines, for output that is no terminal: periodic, and at each change."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from raysync.cli.output import words
from raysync.cli.output.hints import say_dashboard, say_started
from raysync.cli.output.invocation import as_invoked
from raysync.cli.progress import outage_messages
from raysync.cli.progress.channel_counts import counts_of_view
from raysync.cli.progress.live import totals
from raysync.cli.progress.periodic import PeriodicObserver
from raysync.cli.progress.summary import verified
from raysync.models.events import ChannelView, JobView
from raysync.models.ids import JobId
from raysync.models.outage import Outage
from raysync.models.results import SyncJobResult


def progress_line(view: JobView) -> str:
    """Return the progress of one job as a line."""
    if view.planning and not (view.channels_total or view.messages):
        return f"{view.tenant}: looking up which channels the bot can read"
    total = totals([view])
    share = words.percent(total.requests_per_second / total.budget_per_second)
    counts = counts_of_view(view)
    more = "+" if view.planning else ""
    messages = words.counted(view.messages, "message")
    parts = [
        f"{view.tenant}: {messages} ({words.rate(view.messages_per_second)}/s)",
        f"{counts.total:,}{more} channels ({', '.join(counts.parts())})",
        f"{words.rate(view.requests_per_second)} requests/s ({share} of the limit)",
    ]
    parts += words.extras(view.extras)
    if view.rate_limit_encounters:
        parts.append(f"{view.rate_limit_encounters} × 429")
    parts.append(f"ETA {words.clock(view.eta_s)}")
    return ", ".join(parts)


def _end(result: SyncJobResult) -> str:
    took = words.seconds((result.completed_at - result.started_at).total_seconds())
    if result.verification is not None:
        proven = verified(result.verification, result.messages_processed)
        return f"verify {result.status}, {proven}, in {took}"
    if result.status == "failed" and not result.parallel_stats.total_api_calls:
        return "failed"
    return f"{result.status}, {words.counted(result.messages_processed, 'message')} in {took}"


class PlainObserver(PeriodicObserver):
    """Observer that prints lines to *console*, at the pace of *monotonic_s*.

    If an error ends the run, it prints which jobs failed. The error itself is printed elsewhere.
    """

    def __init__(self, console: Console, monotonic_s: Callable[[], float]) -> None:
        super().__init__(monotonic_s)
        self._console = console
        self._running: list[str] = []

    def __exit__(self, *exc: object) -> None:
        if any(isinstance(value, Exception) for value in exc):
            for tenant in self._running:
                self._print(f"{tenant}: failed")

    def ray_ready(self, dashboard_url: str | None, token_source: str | None) -> None:
        if dashboard_url:
            say_dashboard(self._console, dashboard_url, token_source)

    def started(self, tenant: str, job_id: JobId) -> None:
        self._running.append(tenant)
        say_started(self._console, tenant, job_id)

    def _report(self, view: JobView) -> None:
        self._print(progress_line(view))

    def finished(self, result: SyncJobResult) -> None:
        self._running = [slug for slug in self._running if slug != result.tenant]
        self._print(f"{result.tenant}: {_end(result)}")
        for error in result.errors:
            if error.channel_id is None:
                self._print(f"{result.tenant}: {as_invoked(words.printable(error.error))}")

    def _report_outage(self, outage: Outage) -> None:
        self._print(outage_messages.line(outage))

    def _report_return(self, after_s: float) -> None:
        self._print(outage_messages.over(after_s))

    def _report_failure(self, view: JobView, channel: ChannelView) -> None:
        if channel.failure is not None:
            name = words.printable(channel.name)
            reason = as_invoked(words.printable(channel.failure.message))
            self._print(f"{view.tenant}: #{name} failed: {reason}")

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)
