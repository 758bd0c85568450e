"""View of a job for `raysync status`: pure rendering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raysync.cli.output import words
from raysync.cli.output.console import plain_table
from raysync.cli.output.hints import command_line
from raysync.cli.output.invocation import as_invoked
from raysync.cli.progress.channel_counts import ChannelCounts, counts_of_result, counts_of_view
from raysync.cli.progress.summary import (
    archives_line,
    efficiency_line,
    not_covered,
    quarantine_line,
    skip_reasons,
    time_lines,
    verified,
)
from raysync.cli.progress.tail_lines import tail_as_json, tail_lines
from raysync.cli.runs.next_command import resume_command
from raysync.models.events import ChannelView, JobView
from raysync.models.records import JobRecord, QuarantinedMessage
from raysync.models.status import ChannelJobStatus, JobStatus, SyncType

SILENT_AFTER_S = 30.0
"""Age of the last heartbeat after which a job is silent. A run writes one about every second."""
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


def seems_dead(record: JobRecord) -> bool:
    """Return whether a job has the status running, but its driver is gone.

    The lease of the tenant's lock decides. Without one, the age of the heartbeat does.
    """
    if record.status is not JobStatus.RUNNING:
        return False
    return record.is_abandoned or (record.driver is None and _is_silent(record))


def _is_silent(record: JobRecord) -> bool:
    return record.status is JobStatus.RUNNING and record.heartbeat_age_s > SILENT_AFTER_S


def fate_of_driver(record: JobRecord) -> str:
    """Return a sentence about the driver of a job that seems dead."""
    age = words.seconds(record.heartbeat_age_s)
    if record.driver is None and not record.is_abandoned:
        return f"The job's last heartbeat is {age} old, so its process has probably died."
    host = f" on {words.printable(record.driver.host)}" if record.driver is not None else ""
    if record.driver is not None and record.driver.seen_ago_s > SILENT_AFTER_S:
        silent = words.seconds(record.driver.seen_ago_s)
        return f"The job's driver{host} has sent no heartbeat for {silent}, so it counts as gone."
    return f"The job's driver{host} is gone. The job's last heartbeat is {age} old."


def _without_rates(record: JobRecord) -> JobRecord:
    """Return a job; if it seems dead, without rates and ETA, since nothing changes any more."""
    if record.view is None or not seems_dead(record):
        return record
    channels = tuple(
        replace(channel, messages_per_second=0.0, eta_s=None)
        if channel.status is ChannelJobStatus.IN_PROGRESS
        else channel
        for channel in record.view.channels
    )
    view = replace(
        record.view,
        channels=channels,
        messages_per_second=0.0,
        requests_per_second=0.0,
        eta_s=None,
    )
    return replace(record, view=view)


def render_job(record: JobRecord, now: datetime, rows: int | None = None) -> RenderableType:
    """Render the job, then its channels, at most *rows* of them."""
    record = _without_rates(record)
    parts: list[RenderableType] = [_heading(record, now), *_lines(record, now)]
    channels = record.view.channels if record.view else ()
    shown = channels if rows is None else channels[: max(rows, 0)]
    if shown:
        parts += [Text(), _channel_table(shown, is_running=_is_running(record))]
    hidden = len(channels) - len(shown)
    if hidden:
        parts.append(Text(f"… and {words.counted(hidden, 'more channel')}. --all shows all."))
    failures = [_failure(channel) for channel in shown if channel.failure is not None]
    return Group(*parts, Text(), *failures) if failures else Group(*parts)


def render_overview(records: Sequence[JobRecord], now: datetime) -> RenderableType:
    """Render a row for each of several tenants' jobs."""
    table = plain_table(
        "tenant", "kind", "status", ">started", "channels", ">messages", ">/s", ">ETA"
    )
    for record in records:
        view = record.view
        table.add_row(
            record.tenant,
            record.window.sync_type.value,
            _job_status(record),
            f"{words.seconds(_age_s(record.started_at, now))} ago",
            (_channel_counts(record, view) if view else "") or "–",
            _messages_read(record, view) if view else "–",
            words.rate(view.messages_per_second) if view and _is_running(record) else "–",
            words.clock(view.eta_s) if view and _is_running(record) else "–",
        )
    one = command_line("status", "--tenant", "SLUG")
    return Group(table, Text(), Text(f"Show the channels of one tenant: {one}"))


def _command(command: str) -> Text:
    """Return a command on a line that never wraps, so that it can be copied. Print it uncropped."""
    return Text(f"    {command}", no_wrap=True, overflow="ignore")


def _is_running(record: JobRecord) -> bool:
    return record.status is JobStatus.RUNNING and not seems_dead(record)


def _is_verification(record: JobRecord) -> bool:
    return record.window.sync_type is SyncType.VERIFY


def _job_status(record: JobRecord) -> Text:
    if record.is_abandoned:
        return Text("abandoned", "yellow")
    if seems_dead(record):
        return Text("silent", "yellow")
    return Text(record.status.value, _JOB_STYLES[record.status])


def _age_s(moment: datetime, now: datetime) -> float:
    return max((now - moment).total_seconds(), 0.0)


def _messages_read(record: JobRecord, view: JobView) -> str:
    """Return the number of messages. A verification reads only those of its sample."""
    return "–" if _is_verification(record) and not view.messages else words.count(view.messages)


def _counts_of(record: JobRecord, view: JobView) -> ChannelCounts:
    if record.result is not None:
        return counts_of_result(record.result)
    return counts_of_view(view, is_running=_is_running(record))


def _channel_counts(record: JobRecord, view: JobView) -> str:
    """Return the channel counts. A verification has a line of its own for proven ones."""
    counts = _counts_of(record, view)
    if _is_verification(record):
        numbers = {"skipped": counts.skipped, "failed": counts.failed}
        parts = (f"{words.count(number)} {what}" for what, number in numbers.items() if number)
        return ", ".join(parts)
    return str(counts)


def _heading(record: JobRecord, now: datetime) -> Text:
    heading = Text.assemble((record.tenant, "bold"), f": job {record.id} ", _job_status(record))
    if seems_dead(record):
        return heading.append(f", started {words.seconds(_age_s(record.started_at, now))} ago")
    if record.completed_at is None:
        return heading.append(f" for {words.seconds(_age_s(record.started_at, now))}")
    took = words.seconds((record.completed_at - record.started_at).total_seconds())
    return heading.append(f" {words.seconds(_age_s(record.completed_at, now))} ago, after {took}")


def _lines(record: JobRecord, now: datetime) -> list[Text]:
    view = record.view
    lines = [line(record, view) for line in (_counts, _messages, _requests)] if view else []
    if record.result is not None and record.result.parallel_stats.efficiency is not None:
        stats = record.result.parallel_stats
        lines.append(f"efficiency {efficiency_line(stats)}")
        lines += [f"{label}: {text}" for label, text in time_lines(stats.time_spent)]
    if record.result is not None:
        archives = archives_line(record.result)
        lines += [] if archives is None else [archives]
        lines += [f"skipped: {reason}" for reason in skip_reasons(record.result)]
        lines += [f"not covered: {missing}" for missing in not_covered(record.result)]
    if record.tail is not None:
        lines += tail_lines(record.tail, record.tenant, now)
    if record.quarantine.messages:
        has_more = record.quarantine.has_more
        line = quarantine_line(record.quarantine.messages, record.tenant, has_more=has_more)
        lines.append(f"quarantined: {line}")
    if record.compared_since is not None:
        ago = words.seconds(_age_s(record.compared_since, now))
        lines.append(f"compared with Discord: every stored message, within the last {ago}")
    if record.ray_job_id is not None:
        lines.append(f"Ray job: {words.printable(record.ray_job_id)}")
    texts = [Text(f"  {line}") for line in lines]
    if record.error:
        texts.append(Text(f"  {as_invoked(words.printable(record.error))}", style="red"))
    is_stopped = record.status in (JobStatus.FAILED, JobStatus.CANCELLED)
    if is_stopped and not _is_verification(record):
        texts += [Text("  Continue it:"), _command(resume_command(record.id))]
    if seems_dead(record):
        fate = f"  {fate_of_driver(record)} What was stored stays. Continue it:"
        texts += [Text(fate, style="yellow"), _command(resume_command(record.id))]
    elif record.driver is not None and _is_silent(record):
        age, host = words.seconds(record.heartbeat_age_s), words.printable(record.driver.host)
        silent = f"The last heartbeat is {age} old, but the driver on {host} is alive."
        texts.append(Text(f"  {silent}", style="yellow"))
    return texts


def _counts(record: JobRecord, view: JobView) -> str:
    parts = [record.window.sync_type.value, _channel_counts(record, view)]
    if view.planning and _is_running(record):
        parts.append("looking for more channels")
    return ", ".join(filter(None, parts))


def _messages(record: JobRecord, view: JobView) -> str:
    if _is_verification(record):
        return verified(record.result.verification if record.result else None, view.messages)
    messages = ", ".join((words.counted(view.messages, "message"), *words.extras(view.extras)))
    if not _is_running(record):
        return messages
    return f"{messages} ({words.rate(view.messages_per_second)}/s), ETA {words.clock(view.eta_s)}"


def _requests(record: JobRecord, view: JobView) -> str:
    requests = words.counted(view.requests, "request")
    hits = f"{words.count(view.rate_limit_encounters)} × 429"
    if not _is_running(record):
        return f"{requests}, {hits}"
    share = words.percent(view.requests_per_second / view.budget_per_second)
    return f"{requests} ({words.rate(view.requests_per_second)}/s, {share} of the limit), {hits}"


def _channel_table(channels: Sequence[ChannelView], *, is_running: bool) -> Table:
    table = plain_table("channel", "status", ">messages", ">/s", ">ETA", "worker")
    for channel in channels:
        table.add_row(
            f"#{words.printable(channel.name)}",
            _channel_status(channel.status, is_running=is_running),
            words.count(channel.messages),
            words.rate(channel.messages_per_second),
            words.clock(channel.eta_s),
            words.printable(channel.worker_id or "–"),
        )
    return table


def _channel_status(status: ChannelJobStatus, *, is_running: bool) -> Text:
    if status is ChannelJobStatus.IN_PROGRESS and not is_running:
        return Text("not finished", "yellow")
    return Text(status.replace("_", " "), _CHANNEL_STYLES[status])


def _failure(channel: ChannelView) -> Text:
    reason = as_invoked(words.printable(channel.failure.message)) if channel.failure else ""
    return Text(f"#{words.printable(channel.name)}: {reason}", style="red")


def job_as_json(record: JobRecord) -> dict[str, Any]:
    """Return the job for `--json`: ids are strings, times ISO 8601 in UTC, unknown values null."""
    view, result = _without_rates(record).view, record.result
    stats = None if result is None else result.parallel_stats.model_dump(mode="json")
    return {
        "job_id": record.id,
        "tenant": record.tenant,
        "status": record.status.value,
        "sync_type": record.window.sync_type.value,
        "started_at": record.started_at.isoformat(),
        "completed_at": None if record.completed_at is None else record.completed_at.isoformat(),
        "heartbeat_age_s": round(record.heartbeat_age_s, 1),
        "seems_dead": seems_dead(record),
        "driver_gone": record.is_abandoned,
        "error": record.error,
        "ray_job_id": record.ray_job_id,
        "skipped": [channel.model_dump() for channel in result.skipped] if result else [],
        "not_covered": [missing.model_dump() for missing in result.not_covered] if result else [],
        "archived_threads": (
            result.archived_threads.model_dump(mode="json")
            if result and result.archived_threads
            else None
        ),
        "compared_since": record.compared_since and record.compared_since.isoformat(),
        "quarantined": record.quarantine.messages,
        "quarantined_messages": [
            _quarantined_as_json(message) for message in record.quarantine.first
        ],
        "estimated": ["quarantined"] if record.quarantine.has_more else [],
        "tail": None if record.tail is None else tail_as_json(record.tail),
        "progress": None if view is None else _view_as_json(view),
        "parallel_stats": stats,
        "channels": [_channel_as_json(channel) for channel in view.channels] if view else [],
    }


def _quarantined_as_json(message: QuarantinedMessage) -> dict[str, Any]:
    return {
        "channel_id": str(message.channel_id),
        "message_id": str(message.message_id),
        "fields": list(message.fields),
    }


def _view_as_json(view: JobView) -> dict[str, Any]:
    return {
        "planning": view.planning,
        "channels_total": view.channels_total,
        "channels_completed": view.channels_completed,
        "channels_failed": view.channels_failed,
        "channels_skipped": view.channels_skipped,
        "channels_unchanged": view.channels_unchanged,
        "channels_left_alone": view.channels_cooling,
        "messages": view.messages,
        "reactors_read": view.extras.reactors,
        "files_stored": view.extras.files,
        "file_bytes_stored": view.extras.file_bytes,
        "files_failed": view.extras.files_failed,
        "requests": view.requests,
        "rate_limit_encounters": view.rate_limit_encounters,
        "messages_per_second": round(view.messages_per_second, 1),
        "requests_per_second": round(view.requests_per_second, 1),
        "budget_per_second": view.budget_per_second,
        "fraction": view.fraction,
        "eta_s": view.eta_s,
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
