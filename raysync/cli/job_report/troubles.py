"""The parts of the page about what went wrong, was left out, or is not proven."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from markupsafe import Markup

from raysync.cli.job_report.advice import about_failure, about_skipped
from raysync.cli.job_report.tables import code, more, paragraph, section, table
from raysync.cli.output import words
from raysync.models.history import ChannelHistory, JobHistory
from raysync.models.results import ChannelError, CoverageGap, Verification

SHOWN_TROUBLES = 50
SHOWN_NAMES = 12
"""Channels that are named of those left out for one reason."""


def problems(history: JobHistory) -> Markup:
    """Channels that were given up, and whatever else went wrong, with what to do."""
    failed = [each for each in history.channels if each.failure is not None]
    ids = {str(each.channel_id) for each in failed}
    result = history.record.result
    names = {str(each.channel_id): each.name for each in history.channels}
    others = [each for each in result.errors if each.channel_id not in ids] if result else []
    parts = []
    if failed:
        rows = [_given_up(history, each) for each in failed[:SHOWN_TROUBLES]]
        headings = ("channel", "why", "dead letter", "what to do")
        tenant = history.record.tenant
        parts += [
            table("Channels that were given up", headings, rows),
            more(
                len(failed),
                SHOWN_TROUBLES,
                "channel",
                f"raysync dead-letters list --tenant {tenant}",
            ),
        ]
    if others:
        rows = [
            (_where(each, names), words.printable(each.error)) for each in others[:SHOWN_TROUBLES]
        ]
        parts += [
            table("Other errors", ("channel", "what happened"), rows),
            more(
                len(others),
                SHOWN_TROUBLES,
                "error",
                f"raysync status --job-id {history.record.id} --json",
            ),
        ]
    return section("problems", "What went wrong", parts)


def _where(error: ChannelError, names: Mapping[str, str]) -> str:
    if error.channel_id is None:
        return "the whole run"
    return words.channel(error.name or names.get(error.channel_id), error.channel_id)


def _given_up(history: JobHistory, channel: ChannelHistory) -> tuple[object, ...]:
    failure = channel.failure
    assert failure is not None  # noqa: S101 the caller chose them so
    letter = next(
        (each for each in history.dead_letters if each.channel_id == channel.channel_id), None
    )
    state = "read to its end since"
    if letter is not None:
        state = f"open, {words.counted(letter.attempts, 'attempt')}"
    record = history.record
    told, command = about_failure(failure, record.tenant, channel.channel_id, record.id)
    return (
        words.channel(channel.name, channel.channel_id),
        words.printable(f"{failure.error}: {failure.message}"),
        state,
        _with_command(told, command) if letter is not None else "Nothing.",
    )


def _with_command(told: str, command: str) -> Markup:
    return Markup("{} {}").format(told, code(command))


def quarantined(history: JobHistory) -> Markup:
    """Messages that are stored, and of which some fields could not be read."""
    result = history.record.result
    if result is None or not result.quarantined:
        return Markup("")
    tenant = history.record.tenant
    names = {str(each.channel_id): each.name for each in history.channels}
    rows = [
        (
            words.channel(names.get(each.channel_id), each.channel_id),
            each.message_id,
            ", ".join(words.printable(name) for name in each.fields),
        )
        for each in result.quarantined_messages
    ]
    told = (
        f"When the job ended, {words.counted(result.quarantined, 'message')} of the archive had "
        "fields that this version could not read. Nothing is lost: the rest of each is stored, "
        "and a newer version reads them again."
    )
    return section(
        "quarantined",
        "Not read whole",
        [
            paragraph(told),
            table(
                "Messages with fields that could not be read",
                ("channel", "message", "fields"),
                rows,
            ),
            more(
                result.quarantined,
                max(len(rows), 1),
                "message",
                f"raysync export --tenant {tenant} --format jsonl",
            ),
        ],
    )


def left_out(history: JobHistory) -> Markup:
    """Channels that were skipped, by reason."""
    result, view = history.record.result, history.record.view
    if result is None:
        number = view.channels_skipped if view else 0
        told = f"{words.counted(number, 'channel')} skipped; which, is kept when a job ends."
        return section("left-out", "Left out", [paragraph(told, "quiet")] if number else [])
    names: dict[str, list[str]] = defaultdict(list)
    for each in result.skipped:
        names[each.reason].append(f"#{words.printable(each.name)}")
    rows = [
        (
            words.printable(reason),
            words.count(len(found)),
            _named(found),
            _with_command(*about_skipped(reason, history.record.tenant)),
        )
        for reason, found in sorted(names.items(), key=lambda each: -len(each[1]))
    ]
    headings = ("why", ">channels", "which", "what to do")
    shown = rows[:SHOWN_TROUBLES]
    return section(
        "left-out",
        "Left out",
        [table("Channels that were skipped", headings, shown)] if rows else [],
    )


def _named(names: list[str]) -> str:
    hidden = len(names) - SHOWN_NAMES
    told = ", ".join(names[:SHOWN_NAMES])
    return f"{told} and {hidden:,} more" if hidden > 0 else told


def not_covered(history: JobHistory) -> Markup:
    """What the API has no route for, and so nobody knows whether something is missing."""
    result = history.record.result
    if result is None or not result.not_covered:
        return Markup("")
    rows = [
        (
            words.printable(each.what),
            code(words.printable(each.route)),
            "–" if each.channels is None else words.count(each.channels),
            words.printable(each.reason),
        )
        for each in result.not_covered
    ]
    told = (
        "The API lacks these routes, so what they tell was not read. That is no failure: a run "
        "that finds a route again reads what was missed."
    )
    headings = ("what", "route", ">channels", "why")
    parts = [paragraph(told), table("Routes that the API lacks", headings, rows)]
    return section("not-covered", "Not covered", parts)


def verification(history: JobHistory) -> Markup:
    """What a verify job proved, and the gaps that it found."""
    result = history.record.result
    if result is None or result.verification is None:
        return Markup("")
    found: Verification = result.verification
    told = (
        f"{found.proven:,} of {words.counted(found.channels, 'channel')} proven complete, from the "
        f"first message to the newest; {words.counted(len(found.gaps), 'gap')}."
    )
    parts = [paragraph(told)]
    if found.gaps:
        tenant = history.record.tenant
        rows = [_gap(each) for each in found.gaps[:SHOWN_TROUBLES]]
        parts += [
            table("Gaps", ("channel", "after", "before", "kind"), rows),
            more(
                len(found.gaps), SHOWN_TROUBLES, "gap", f"raysync verify --tenant {tenant} --json"
            ),
            paragraph(
                Markup("To read what is missing: {}").format(
                    code(f"raysync verify --tenant {tenant} --repair")
                )
            ),
        ]
    return section("verification", "What is proven", parts)


def _gap(gap: CoverageGap) -> tuple[object, ...]:
    return (
        words.channel(gap.name, gap.channel_id),
        f"{gap.after:%Y-%m-%d %H:%M:%S}",
        f"{gap.before:%Y-%m-%d %H:%M:%S}",
        "written since the last sync" if gap.is_news else "older",
    )
