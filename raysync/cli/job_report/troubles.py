"""Sections of the page about failures, skipped channels and gaps: values for the templates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from markupsafe import Markup

from raysync.cli.job_report.advice import about_failure, about_skipped
from raysync.cli.job_report.rendering import Cell, Row, render
from raysync.cli.output import words
from raysync.models.history import ChannelHistory, JobHistory
from raysync.models.results import ChannelError, CoverageGap
from raysync.models.work import Failure

SHOWN_TROUBLES = 50
"""Maximum number of rows in a table of failures, reasons or gaps."""
SHOWN_NAMES = 12
"""Maximum number of channels named per reason for skipping."""


def problems(history: JobHistory) -> Markup:
    """Render the failed channels and all other errors, with what to do."""
    failed = [
        (channel, channel.failure) for channel in history.channels if channel.failure is not None
    ]
    failed_ids = {str(channel.channel_id) for channel, _ in failed}
    errors = history.record.result.errors if history.record.result else []
    others = [error for error in errors if error.channel_id not in failed_ids]
    if not failed and not others:
        return Markup("")
    names = _names(history)
    return render(
        "problems",
        failed=[_failed_row(history, *pair) for pair in failed[:SHOWN_TROUBLES]],
        failed_total=len(failed),
        others=[(_place(error, names), error.error) for error in others[:SHOWN_TROUBLES]],
        others_total=len(others),
        tenant=history.record.tenant,
        job_id=history.record.id,
    )


def _names(history: JobHistory) -> dict[str, str]:
    return {str(channel.channel_id): channel.name for channel in history.channels}


def _place(error: ChannelError, names: Mapping[str, str]) -> str:
    if error.channel_id is None:
        return "the whole run"
    return words.channel(error.name or names.get(error.channel_id), error.channel_id)


def _failed_row(history: JobHistory, channel: ChannelHistory, failure: Failure) -> Row:
    letter = next(
        (letter for letter in history.dead_letters if letter.channel_id == channel.channel_id),
        None,
    )
    record = history.record
    advice, command = about_failure(failure, record.tenant, channel.channel_id, record.id)
    return (
        words.channel(channel.name, channel.channel_id),
        f"{failure.error}: {failure.message}",
        f"open, {words.counted(letter.attempts, 'attempt')}" if letter else "read completely since",
        Cell(advice, code=command) if letter else "Nothing.",
    )


def quarantined(history: JobHistory) -> Markup:
    """Render the stored messages with fields that could not be read."""
    result = history.record.result
    if result is None or not result.quarantined:
        return Markup("")
    names = _names(history)
    rows = [
        (
            words.channel(names.get(record.channel_id), record.channel_id),
            record.message_id,
            ", ".join(record.fields),
        )
        for record in result.quarantined_messages
    ]
    return render("quarantined", total=result.quarantined, rows=rows, tenant=history.record.tenant)


def left_out(history: JobHistory) -> Markup:
    """Render the skipped channels, by reason."""
    result, view = history.record.result, history.record.view
    if result is None:
        total = view.channels_skipped if view else 0
        return render("left_out", rows=None, total=total) if total else Markup("")
    if not result.skipped:
        return Markup("")
    names: dict[str, list[str]] = defaultdict(list)
    for channel in result.skipped:
        names[channel.reason].append(f"#{channel.name}")
    rows = [
        _skipped_row(reason, found, history.record.tenant)
        for reason, found in sorted(names.items(), key=lambda item: -len(item[1]))
    ]
    return render("left_out", rows=rows[:SHOWN_TROUBLES])


def _skipped_row(reason: str, names: list[str], tenant: str) -> Row:
    advice, command = about_skipped(reason, tenant)
    return reason, words.count(len(names)), _listed(names), Cell(advice, code=command)


def _listed(names: list[str]) -> str:
    hidden = len(names) - SHOWN_NAMES
    shown = ", ".join(names[:SHOWN_NAMES])
    return f"{shown} and {hidden:,} more" if hidden > 0 else shown


def not_covered(history: JobHistory) -> Markup:
    """Render the routes that the API lacks, whose data nobody can compare."""
    result = history.record.result
    if result is None or not result.not_covered:
        return Markup("")
    rows = [
        (
            route.what,
            Cell(code=route.route),
            "–" if route.channels is None else words.count(route.channels),
            route.reason,
        )
        for route in result.not_covered
    ]
    return render("not_covered", rows=rows)


def verification(history: JobHistory) -> Markup:
    """Render what a verification proved, and the gaps that it found."""
    result = history.record.result
    if result is None or result.verification is None:
        return Markup("")
    gaps = result.verification.gaps[:SHOWN_TROUBLES]
    return render(
        "verification",
        verification=result.verification,
        gaps=[_gap_row(gap) for gap in gaps],
        tenant=history.record.tenant,
    )


def _gap_row(gap: CoverageGap) -> Row:
    return (
        words.channel(gap.name, gap.channel_id),
        f"{gap.after:%Y-%m-%d %H:%M:%S}",
        f"{gap.before:%Y-%m-%d %H:%M:%S}",
        "written since the last sync" if gap.is_news else "older",
    )
