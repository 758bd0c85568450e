"""A job as `raysync status` shows it: pure rendering."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raysync.cli import words
from raysync.cli.console import plain_table
from raysync.cli.hints import invocation
from raysync.models.events import ChannelView, JobView
from raysync.models.status import ChannelJobStatus, JobStatus

SILENT_AFTER = timedelta(seconds=30)
"""A run writes its heartbeat about once a second."""
_JOB_STYLES = {
    JobStatus.RUNNING: "cyan",
    JobStatus.COMPLETED: "green",
    JobStatus.PARTIAL: "yellow",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "yellow",
}
_CHANNEL_STYLES = {
    ChannelJobStatus.PENDING: "dim",
    ChannelJobStatus.IN_PROGRESS: "cyan",
    ChannelJobStatus.COMPLETED: "green",
    ChannelJobStatus.FAILED: "red",
}


def seems_dead(view: JobView, now: datetime) -> bool:
    """Whether a job counts as running and yet nobody has said so for long."""
    return view.status is JobStatus.RUNNING and now - view.heartbeat_at > SILENT_AFTER


def render_job(view: JobView, now: datetime, rows: int | None = None) -> RenderableType:
    """The job, then its channels, at most *rows* of them."""
    shown = view.channels if rows is None else view.channels[: max(rows, 0)]
    parts: list[RenderableType] = [_heading(view, now), Text(_counts(view)), Text(_rates(view))]
    if seems_dead(view, now):
        parts.append(Text(_obituary(view, now), style="yellow"))
    if shown:
        parts.append(_channel_table(shown))
    hidden = max(view.channels_total, len(view.channels)) - len(shown)
    if shown and hidden > 0:
        parts.append(Text(f"… and {words.counted(hidden, 'more channel')}; --all shows every one."))
    return Group(*parts)


def _heading(view: JobView, now: datetime) -> Text:
    heading = Text.assemble(
        (view.tenant, "bold"), f": job {view.job_id} ", (view.status, _JOB_STYLES[view.status])
    )
    if view.completed_at is None:
        return heading.append(f" for {words.seconds((now - view.started_at).total_seconds())}")
    took = words.seconds((view.completed_at - view.started_at).total_seconds())
    ago = words.seconds(max((now - view.completed_at).total_seconds(), 0.0))
    return heading.append(f" {ago} ago, after {took}")


def _counts(view: JobView) -> str:
    done = view.channels_completed + view.channels_failed
    parts = [f"{view.sync_type}, {done} of {words.counted(view.channels_total, 'channel')} done"]
    if view.channels_failed:
        parts.append(f"{view.channels_failed} failed")
    if view.channels_skipped:
        parts.append(f"{view.channels_skipped} skipped")
    if view.planning and view.status is JobStatus.RUNNING:
        parts.append("looking for more")
    return "  " + ", ".join(parts)


def _rates(view: JobView) -> str:
    messages = words.counted(view.messages, "message")
    requests = words.counted(view.requests, "request")
    hits = f"{words.count(view.rate_limit_encounters)} × 429"
    if view.status is not JobStatus.RUNNING:
        return f"  {messages}, {requests}, {hits}"
    share = words.percent(view.requests_per_second / view.budget_per_second)
    return (
        f"  {messages} ({words.rate(view.messages_per_second)}/s), {requests} "
        f"({words.rate(view.requests_per_second)}/s, {share} of the limit), {hits}, "
        f"ETA {words.clock(view.eta_s)}"
    )


def _obituary(view: JobView, now: datetime) -> str:
    silence = words.seconds((now - view.heartbeat_at).total_seconds())
    return (
        f"  Its last sign of life is {silence} old, so its process has probably died. What was "
        f"stored stays; go on with: {invocation()} start --tenant {view.tenant}"
    )


def _channel_table(channels: Sequence[ChannelView]) -> Table:
    table = plain_table("channel", "status", ">messages", ">/s", ">ETA", "worker")
    for each in channels:
        table.add_row(
            Text(f"#{words.printable(each.name)}"),
            _status(each),
            words.count(each.messages),
            words.rate(each.messages_per_second),
            words.clock(each.eta_s),
            Text(each.worker_id or "–", overflow="ellipsis", no_wrap=True),
        )
    return table


def _status(channel: ChannelView) -> Text:
    status = Text(channel.status.replace("_", " "), style=_CHANNEL_STYLES[channel.status])
    if channel.failure is not None:
        status.append(f": {words.printable(channel.failure.message)}", style="none")
    return status


def job_as_json(view: JobView, now: datetime) -> dict[str, Any]:
    """The job for `--json`; ids are strings, times ISO 8601 in UTC."""
    return {
        "job_id": view.job_id,
        "tenant": view.tenant,
        "status": view.status.value,
        "sync_type": view.sync_type.value,
        "seems_dead": seems_dead(view, now),
        "started_at": view.started_at.isoformat(),
        "heartbeat_at": view.heartbeat_at.isoformat(),
        "completed_at": None if view.completed_at is None else view.completed_at.isoformat(),
        "planning": view.planning,
        "channels_total": view.channels_total,
        "channels_completed": view.channels_completed,
        "channels_failed": view.channels_failed,
        "channels_skipped": view.channels_skipped,
        "messages": view.messages,
        "requests": view.requests,
        "rate_limit_encounters": view.rate_limit_encounters,
        "messages_per_second": round(view.messages_per_second, 1),
        "requests_per_second": round(view.requests_per_second, 1),
        "fraction": view.fraction,
        "eta_s": view.eta_s,
        "channels": [_channel_as_json(each) for each in view.channels],
    }


def _channel_as_json(channel: ChannelView) -> dict[str, Any]:
    return {
        "channel_id": str(channel.channel_id),
        "name": channel.name,
        "status": channel.status.value,
        "messages": channel.messages,
        "messages_per_second": round(channel.messages_per_second, 1),
        "fraction": channel.fraction,
        "eta_s": channel.eta_s,
        "worker_id": channel.worker_id,
        "retry_count": channel.retry_count,
        "error": None if channel.failure is None else channel.failure.message,
    }
