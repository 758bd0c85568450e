"""Sections of the page about a job's figures and times: values for the templates."""

from __future__ import annotations

from markupsafe import Markup

from raysync.cli.job_report import rates
from raysync.cli.job_report.drawing import rate_chart, shares_bar
from raysync.cli.job_report.figures import Bound, Figures, routes
from raysync.cli.job_report.lanes import Timeline, natural, timeline
from raysync.cli.job_report.lead import bound_in_words, lead
from raysync.cli.job_report.picture import caption, largest_first, styles_of, timeline_picture
from raysync.cli.job_report.rendering import Cell, Row, minute, render, second
from raysync.cli.output import words
from raysync.cli.progress.status_view import fate_of_driver
from raysync.models.events import ApiUsage
from raysync.models.history import ChannelHistory, JobHistory
from raysync.models.status import JobStatus

SHOWN_ROWS = 20
"""Maximum number of rows in a table with a row per channel, worker or route."""
_IDEAL = "minimum that Discord's limits allow"


def header(history: JobHistory, figures: Figures) -> Markup:
    """Render the title, the notices and the main figures."""
    record = history.record
    is_stopped = record.status in (JobStatus.FAILED, JobStatus.CANCELLED)
    can_resume = is_stopped or figures.status == "silent"
    return render(
        "header",
        tenant=record.tenant,
        status=figures.status,
        lead=lead(figures),
        facts=[
            ("Sync type", figures.sync_type.value),
            ("Started", second(figures.began_at)),
            ("Duration" if figures.is_over else "So far", words.seconds(figures.took_s)),
            ("Job", record.id),
        ],
        notices=_notices(history, figures),
        resume_command=f"raysync resume --job-id {record.id}" if can_resume else "",
        key_figures=_key_figures(figures),
    )


def _notices(history: JobHistory, figures: Figures) -> list[str]:
    """Return what a reader must know before the figures."""
    record = history.record
    notices: list[str] = []
    if record.error:
        notices.append(record.error)
    if figures.status == "silent":
        notices.append(f"{fate_of_driver(record)} The stored messages are safe.")
    elif not figures.is_over:
        notices.append("The job is running: this page shows its progress so far.")
    if figures.is_cut_short:
        notices.append(
            "The job ended without a final report, for example because its process was killed. "
            "The figures end at its last report."
        )
    if figures.is_resumed:
        notices.append(
            f"The job was started at {minute(record.started_at)} and resumed later. All counts, "
            "times and charts are of its last run."
        )
    return notices


def _key_figures(figures: Figures) -> list[tuple[str, str, str]]:
    """Return label, value and whole ("" without one) of the main figures."""
    efficiency = figures.efficiency
    return [
        ("Messages", words.count(figures.messages), ""),
        ("Pages", "–" if figures.pages is None else words.count(figures.pages), ""),
        ("Requests", words.count(figures.requests), ""),
        ("429 responses", words.count(figures.rate_limit_encounters), ""),
        _channels(figures),
        ("Efficiency", "–" if efficiency is None else f"{efficiency.share:.2f}", ""),
    ]


def _channels(figures: Figures) -> tuple[str, str, str]:
    proof = figures.verification
    if proof is not None:
        return "Channels proven", words.count(proof.proven), words.count(proof.channels)
    counts = figures.counts
    if figures.is_verification:
        return "Channels", words.count(counts.total), ""
    return "Channels", words.count(counts.synced), words.count(counts.total)


def efficiency(figures: Figures) -> Markup:
    """Render how near the run came to its bound, and the causes of the difference."""
    found = figures.efficiency
    if found is None:
        return render("efficiency", efficiency=None, is_over=figures.is_over)
    costs = [(f"cost-{number}", cost) for number, cost in enumerate(found.costs, start=1)]
    whole_s = found.ideal_s + sum(cost.seconds for cost in found.costs)
    bar = shares_bar(
        "costs",
        "Time from the first request to the last, by part",
        [
            ("ideal", _IDEAL, found.ideal_s),
            *((style, cost.shown, cost.seconds) for style, cost in costs),
        ],
    )
    return render(
        "efficiency",
        efficiency=found,
        sentence=bound_in_words(found),
        is_bound_by_budget=found.bound is Bound.BUDGET or found.largest is None,
        requests=figures.requests,
        budget=f"{figures.budget_per_second or 0:,g}",
        bar=bar,
        rows=[
            _part("ideal", "the bound", found.ideal_s, whole_s, _IDEAL),
            *(_part(style, cost.shown, cost.seconds, whole_s, cost.why) for style, cost in costs),
        ],
        startup_s=figures.startup_s,
        tail_s=figures.tail_s,
    )


def _part(style: str, label: str, seconds: float, whole_s: float, why: str) -> Row:
    share = f"{100 * seconds / whole_s:.1f} %" if whole_s else "–"
    return Cell(label, swatch=style), words.seconds(seconds), share, why


def over_time(history: JobHistory, figures: Figures) -> Markup:
    """Render messages and requests per second, with the limit."""
    result = history.record.result
    spent = result.parallel_stats.time_spent if result else None
    series = spent.requests if spent else None
    messages = rates.messages_per_second(history.samples, figures.began_at)
    requests = rates.requests_per_second(history.samples, series, figures.began_at)
    ends = [steps[-1].until_s for steps in (messages, requests) if steps]
    length_s = max([figures.took_s, *ends])
    request_chart = requests and rate_chart(
        "requests",
        "Requests answered per second, with the token's limit",
        requests,
        length_s,
        "requests/s",
        figures.budget_per_second,
        rates.refusals(history.samples, figures.began_at),
    )
    message_chart = messages and rate_chart(
        "messages", "Messages read per second", messages, length_s, "messages/s"
    )
    return render(
        "over_time",
        request_chart=request_chart,
        message_chart=message_chart,
        samples=len(history.samples),
        is_exact=bool(series),
    )


def timeline_of_channels(history: JobHistory, figures: Figures) -> Markup:
    """Render the timeline of channels by worker."""
    found = timeline(history.channels, figures.began_at.timestamp(), figures.took_s)
    if found is None:
        return render("timeline", picture=None)
    return render(
        "timeline",
        caption=caption(found),
        legend=_legend(history, found),
        picture=timeline_picture(found, history.channels),
    )


def _legend(history: JobHistory, found: Timeline) -> list[tuple[str, str]]:
    """Return the style and the label of each colour in the timeline."""
    styles = styles_of(history.channels)
    entries = [
        (styles[channel.channel_id], f"#{channel.name} ({channel.messages:,})")
        for channel in largest_first(history.channels)
        if styles.get(channel.channel_id, "failed") != "failed"
    ]
    drawn = found.alone | found.together
    if drawn - styles.keys():
        entries.append(("other", "other channels"))
    if found.together:
        entries.append(("several", "several channels, each too short to draw"))
    if any(styles.get(channel_id) == "failed" for channel_id in drawn):
        entries.append(("failed", "failed"))
    return entries


def waits(history: JobHistory, figures: Figures) -> Markup:
    """Render the waiting times, in total and by worker."""
    if not history.usage:
        return Markup("")
    workers = sorted(history.usage, key=natural)[:SHOWN_ROWS]
    return render(
        "waits",
        waits=figures.waits,
        requests=figures.requests,
        workers=[_worker_row(worker, history.usage[worker]) for worker in workers],
        workers_total=len(history.usage),
    )


def _worker_row(worker_id: str, usage: ApiUsage) -> Row:
    return (
        worker_id,
        words.count(sum(usage.calls.values())),
        words.count(sum(usage.rate_limit_hits.values())),
        words.seconds(usage.permit_wait_s),
        words.seconds(usage.bucket_wait_s),
        words.seconds(usage.store_s),
    )


def slowest(history: JobHistory, figures: Figures) -> Markup:
    """Render the channels with the longest duration."""
    started = [channel for channel in history.channels if channel.started_at is not None]
    if not started:
        return Markup("")
    by_length = sorted(started, key=lambda channel: -_length_s(channel, figures))
    return render(
        "slowest",
        rows=[_channel_row(channel, figures) for channel in by_length[:SHOWN_ROWS]],
        total=len(started),
        job_id=history.record.id,
    )


def _length_s(channel: ChannelHistory, figures: Figures) -> float:
    if channel.started_at is None:
        return 0.0
    return ((channel.completed_at or figures.seen_at) - channel.started_at).total_seconds()


def _channel_row(channel: ChannelHistory, figures: Figures) -> Row:
    visits = channel.visits or ()
    return (
        f"#{channel.name}",
        channel.status.value.replace("_", " "),
        words.seconds(_length_s(channel, figures)),
        words.seconds(sum(visit.read_s for visit in visits)) if visits else "–",
        words.count(sum(visit.count for visit in visits)) if visits else "–",
        words.count(channel.messages),
        words.count(channel.requests),
        words.count(channel.retry_count),
        channel.worker_id or "–",
    )


def requests_by_route(history: JobHistory) -> Markup:
    """Render the responses of Discord by route and status."""
    found = routes(history.usage)
    if not found:
        return Markup("")
    rows = [(Cell(code=route), words.count(number)) for route, number in found[:SHOWN_ROWS]]
    return render("routes", rows=rows, total=len(found))
