"""Progress where no terminal is: a line every few seconds, and one at each change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console

from raysync.cli import words
from raysync.cli.hints import say_dashboard, say_started
from raysync.cli.live import totals
from raysync.models.events import JobView
from raysync.models.ids import ChannelId, JobId
from raysync.models.results import SyncJobResult

PERIOD_S = 5.0


def progress_line(view: JobView) -> str:
    """Where one job stands."""
    total = totals([view])
    share = words.percent(total.requests_per_second / total.budget_per_second)
    done = view.channels_completed + view.channels_failed
    more = "+" if view.planning else ""
    messages = words.counted(view.messages, "message")
    parts = [
        f"{view.tenant}: {messages} ({words.rate(view.messages_per_second)}/s)",
        f"{done} of {view.channels_total}{more} channels",
        f"{words.rate(view.requests_per_second)} requests/s ({share} of the limit)",
    ]
    parts += words.extras(view.extras)
    if view.channels_failed:
        parts.append(f"{view.channels_failed} failed")
    if view.rate_limit_encounters:
        parts.append(f"{view.rate_limit_encounters} × 429")
    parts.append(f"ETA {words.clock(view.eta_s)}")
    return ", ".join(parts)


class PlainObserver:
    """Writes lines to *console*; *monotonic_s* tells when the next is due."""

    def __init__(self, console: Console, monotonic_s: Callable[[], float]) -> None:
        self._console = console
        self._monotonic_s = monotonic_s
        self._due_s = 0.0
        self._told: set[tuple[JobId, ChannelId]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        return None

    def ray_ready(self, dashboard_url: str | None, needs_token: bool) -> None:
        if dashboard_url:
            say_dashboard(self._console, dashboard_url, needs_token)

    def started(self, tenant: str, job_id: JobId) -> None:
        say_started(self._console, tenant, job_id)

    def progress(self, views: Sequence[JobView]) -> None:
        for view in views:
            self._tell_failures(view)
        now_s = self._monotonic_s()
        if now_s < self._due_s:
            return
        self._due_s = now_s + PERIOD_S
        for view in views:
            self._print(progress_line(view))

    def finished(self, result: SyncJobResult) -> None:
        self._print(
            f"{result.tenant}: {result.status}, "
            f"{words.counted(result.messages_processed, 'message')} in "
            f"{words.seconds((result.completed_at - result.started_at).total_seconds())}"
        )
        for each in result.errors:
            if each.channel_id is None:
                self._print(f"{result.tenant}: {words.printable(each.error)}")

    def _tell_failures(self, view: JobView) -> None:
        for channel in view.channels:
            key = (view.job_id, channel.channel_id)
            if channel.failure is None or key in self._told:
                continue
            self._told.add(key)
            name = words.printable(channel.name)
            self._print(
                f"{view.tenant}: #{name} failed: {words.printable(channel.failure.message)}"
            )

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)
