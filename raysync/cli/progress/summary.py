"""Summary of a run's result, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from raysync.cli.output import words
from raysync.cli.output.hints import command_line
from raysync.cli.output.invocation import as_invoked
from raysync.cli.progress.channel_counts import counts_of_result
from raysync.models.results import (
    ChannelError,
    NotCoveredRoute,
    PageEstimates,
    ParallelStats,
    RunResult,
    SyncJobResult,
    TimeSpent,
    Verification,
)

MAX_ERRORS = 10
SPARKS = 40
_STYLES = {"completed": "green", "partial": "yellow", "failed": "red", "cancelled": "yellow"}


def print_result(console: Console, result: RunResult, *, limited: bool = True) -> None:
    """Print every job of the run. Leave out its efficiency if it was not *limited*."""
    for number, job in enumerate(result.jobs):
        if number:
            console.print()
        console.print(job_summary(job, limited=limited))


def job_summary(job: SyncJobResult, *, limited: bool = True) -> RenderableType:
    """Render one job: a heading, then a line for each fact."""
    took_s = (job.completed_at - job.started_at).total_seconds()
    heading = Text.assemble(
        (job.tenant, "bold"),
        ": ",
        (job.status, _STYLES[job.status]),
        f" in {words.seconds(took_s)}",
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in _lines(job, limited=limited):
        grid.add_row(f"  {label}", text)
    return Group(heading, grid)


def _lines(job: SyncJobResult, *, limited: bool) -> list[tuple[str, Text]]:
    stats = job.parallel_stats
    lines = [("channels", Text(_channels(job))), ("messages", Text(_messages(job)))]
    lines += [(label, Text(text)) for label, text in _extras(job)]
    if (archives := archives_line(job)) is not None:
        lines.append(("archives", Text(archives)))
    if job.listened_since is not None:
        lines.append(("tail", Text(listened_line(job.listened_since))))
    if job.quarantined:
        lines.append(("quarantined", Text(quarantine_line(job.quarantined, job.tenant), "yellow")))
    lines.append(("requests", Text(_requests(stats))))
    has_finished = job.status in ("completed", "partial")
    if limited and has_finished and stats.efficiency is not None:
        lines.append(("efficiency", Text(efficiency_line(stats))))
    lines += [(label, Text(text)) for label, text in time_lines(stats.time_spent)]
    if stats.page_estimates is not None:
        lines.append(("estimates", Text(estimates_line(stats.page_estimates))))
    lines += [
        ("skipped" if number == 0 else "", Text(reason))
        for number, reason in enumerate(skip_reasons(job))
    ]
    lines += [
        ("not covered" if number == 0 else "", Text(missing, "yellow"))
        for number, missing in enumerate(not_covered(job))
    ]
    lines += [
        ("errors" if number == 0 else "", Text(error, "red"))
        for number, error in enumerate(_errors(job.errors))
    ]
    return lines


def _channels(job: SyncJobResult) -> str:
    counts = counts_of_result(job)
    text = f"{counts.total:,}: {', '.join(counts.parts())}"
    if job.channels_deleted:  # not part of the counts: some were read to their end, some not
        text += f"; {job.channels_deleted:,} deleted on Discord"
    return text


def _messages(job: SyncJobResult) -> str:
    return (
        f"{words.count(job.messages_processed)} read ({_changes(job)}), with "
        f"{words.counted(job.reactions_processed, 'reaction')} and "
        f"{words.counted(job.attachments_processed, 'attachment')}"
    )


def _extras(job: SyncJobResult) -> list[tuple[str, str]]:
    lines = []
    if job.reactors_read:
        lines.append(("reactors", f"{words.count(job.reactors_read)} read"))
    if job.files_stored or job.files_failed:
        text = f"{words.count(job.files_stored)} stored, {words.size(job.file_bytes_stored)}"
        if job.files_failed:
            text += f"; {words.count(job.files_failed)} unavailable now, tried again later"
        lines.append(("attachments", text))
    return lines


def quarantine_line(messages: int, tenant: str, *, has_more: bool = False) -> str:
    """Return how many messages could not be read completely, and the command that lists them.

    *has_more* means that *messages* is only as far as they were counted.
    """
    number = f"{'more than ' if has_more else ''}{words.counted(messages, 'message')}"
    stored = f"{number} stored with fields that could not be read"
    doctor = command_line("doctor", "--tenant", tenant)
    return f"{stored}. {doctor} says which, and what to do"


def listened_line(since: datetime) -> str:
    """Return what a run has left out because a tail listens."""
    return (
        f"listened since {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC, so nothing older was compared"
    )


def archives_line(job: SyncJobResult) -> str | None:
    """Return how far the archived threads are compared; None if all were, or nothing is known."""
    found = job.archived_threads
    if found is None or found.compared == found.lists:
        return None
    done = f"{words.count(found.compared)} of {words.counted(found.lists, 'list')} in this run"
    parts = [f"archived threads compared, {done}"]
    if found.compared_since is not None:
        age_s = max((job.completed_at - found.compared_since).total_seconds(), 0.0)
        parts = [f"archived threads compared within {words.seconds(age_s)}: {done}"]
    if found.unsettled:
        parts.append(f"{words.count(found.unsettled)} not read to their end, repeated next time")
    return "; ".join(parts)


def _changes(job: SyncJobResult) -> str:
    counts = {
        "new": job.messages_added,
        "edited": job.messages_edited,
        "deleted": job.messages_deleted,
    }
    changes = [f"{words.count(number)} {what}" for what, number in counts.items() if number]
    return ", ".join(changes) or "nothing changed"


def _requests(stats: ParallelStats) -> str:
    hits = stats.rate_limit_encounters
    answered = f"{words.count(hits)} answered with 429" if hits else "none answered with 429"
    text = f"{words.count(stats.total_api_calls)}, {answered}"
    if not stats.max_concurrent_channels:
        return text
    channels = words.counted(stats.max_concurrent_channels, "channel")
    return f"{text}; at most {channels} read at the same time"


def time_lines(spent: TimeSpent | None) -> list[tuple[str, str]]:
    """Return where the time went, as labels and texts: requests over time, and waits."""
    if spent is None or spent.requests is None:
        return []
    series = spent.requests
    fastest = max(series.requests) / series.bin_s
    time = (
        f"{words.seconds(spent.startup_s)} to the first request, "
        f"{words.seconds(spent.tail_s)} at the end with under 90 % of the budget in use"
    )
    waited = (
        f"{words.seconds(spent.permit_wait_s)} for the token's budget, "
        f"{words.seconds(spent.bucket_wait_s)} for channels' limits, "
        f"{words.seconds(spent.database_s)} for the database (all channels together)"
    )
    return [
        ("requests/s", f"{words.sparkline(series.requests, SPARKS)}  at most {fastest:.0f}"),
        ("time", time),
        ("waited", waited),
    ]


def estimates_line(estimates: PageEstimates) -> str:
    """Return how good the estimates were that ordered the channels. A first run has to guess."""
    channels = words.counted(estimates.channels, "channel")
    guessed = (
        f"; {words.count(estimates.guessed)} estimated from their age alone (never read before)"
        if estimates.guessed
        else ""
    )
    return (
        f"about {words.count(round(estimates.expected_pages))} pages estimated in advance, "
        f"{words.count(estimates.read_pages)} read; "
        f"{words.count(estimates.within_twofold)} of {channels} within a factor of two{guessed}"
    )


def efficiency_line(stats: ParallelStats) -> str:
    """Return the efficiency, and the two times that it compares."""
    return (
        f"{stats.efficiency:.2f}: Discord's limits allow {words.seconds(stats.ideal_s)} at best, "
        f"and it took {words.seconds(stats.actual_s)}"
    )


def verified(found: Verification | None, compared: int) -> str:
    """Return the result of a verification. *compared* is the number of messages in its sample."""
    sample = [f"{words.counted(compared, 'message')} compared"] if compared else []
    if found is None:
        return ", ".join(sample) or "nothing proven yet"
    channels = words.counted(found.channels, "channel")
    return ", ".join([f"{words.count(found.proven)} of {channels} proven complete", *sample])


def skip_reasons(job: SyncJobResult) -> list[str]:
    """Return why channels were skipped, the most frequent reason first."""
    reasons = Counter(channel.reason for channel in job.skipped)
    return [
        f"{number:,} × {as_invoked(words.printable(reason))}"
        for reason, number in reasons.most_common()
    ]


def not_covered(job: SyncJobResult) -> list[str]:
    """Return a sentence for each thing that the API has no route for."""
    return [_not_covered(missing) for missing in job.not_covered]


def _not_covered(missing: NotCoveredRoute) -> str:
    channels = missing.channels
    affected = f" ({words.counted(channels, 'channel')})" if channels else ""
    return as_invoked(words.printable(f"{missing.what}{affected}: {missing.reason}"))


def _errors(errors: Sequence[ChannelError]) -> list[str]:
    lines = [error_line(error) for error in errors[:MAX_ERRORS]]
    hidden = len(errors) - len(lines)
    return [*lines, f"and {hidden} more: --json lists all"] if hidden else lines


def error_line(error: ChannelError) -> str:
    """Return the error, and its channel."""
    reason = as_invoked(words.printable(error.error))
    if error.channel_id is None:
        return reason
    return f"{words.channel(error.name, error.channel_id)}: {reason}"
