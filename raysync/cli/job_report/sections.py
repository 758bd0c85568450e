"""The parts of the page, from its figures to what went wrong."""

from __future__ import annotations

from markupsafe import Markup

from raysync.cli.job_report import rates
from raysync.cli.job_report.drawing import rate_chart, shares_bar
from raysync.cli.job_report.figures import Bound, Efficiency, Figures, routes
from raysync.cli.job_report.lanes import natural, timeline
from raysync.cli.job_report.lead import bound_in_words
from raysync.cli.job_report.picture import caption, largest_first, styles_of, timeline_picture
from raysync.cli.job_report.tables import code, more, paragraph, section, table
from raysync.cli.output import words
from raysync.cli.progress.status_view import fate_of_driver
from raysync.models.events import ApiUsage
from raysync.models.history import ChannelHistory, JobHistory
from raysync.models.status import JobStatus

SHOWN_ROWS = 20
"""Of a table that has a row for each channel, worker or route."""


def notices(history: JobHistory, figures: Figures) -> Markup:
    """What must be known before the figures are read."""
    record = history.record
    told: list[str] = []
    if record.error:
        told.append(words.printable(record.error))
    if figures.status == "silent":
        silent = words.seconds(record.heartbeat_age_s)
        fate = (
            fate_of_driver(record)
            if record.is_abandoned
            else f"Nobody has spoken for this job for {silent}: its process has probably died."
        )
        told.append(f"{fate} What was stored stays.")
    elif not figures.is_over:
        told.append("The job is running: this page shows how far it had come.")
    if record.status in (JobStatus.FAILED, JobStatus.CANCELLED) or figures.status == "silent":
        command = code(f"raysync resume --job-id {record.id}")
        told.append(Markup("To go on with it: {}").format(command))
    if figures.is_cut_short:
        told.append(
            "It ended without a word, as when its process is killed: all is told up to the last "
            "that was heard of it."
        )
    if figures.is_resumed:
        told.append(
            f"The job was begun at {record.started_at:%Y-%m-%d %H:%M} UTC and resumed: counts, "
            "times and pictures are of its last run."
        )
    return Markup("\n").join(paragraph(each, "notice") for each in told)


def key_figures(figures: Figures) -> Markup:
    """The figures that one looks for first."""
    found = figures.efficiency
    shown: list[tuple[str, str]] = [
        ("Messages", words.count(figures.messages)),
        ("Pages", "–" if figures.pages is None else words.count(figures.pages)),
        ("Requests", words.count(figures.requests)),
        ("Answers of 429", words.count(figures.rate_limit_encounters)),
        (
            "Channels",
            Markup("{:,} <small>of {:,}</small>").format(
                figures.counts.synced, figures.counts.total
            ),
        ),
        ("Efficiency", "–" if found is None else f"{found.share:.2f}"),
    ]
    return Markup('<dl class="key">{}</dl>').format(
        Markup("").join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*each) for each in shown)
    )


def efficiency(figures: Figures) -> Markup:
    """How near the run came to its bound, and what cost the rest."""
    found = figures.efficiency
    if found is None:
        why = (
            "It is told when the job has ended."
            if not figures.is_over
            else ("It takes an end and two requests, and this job lacks one of them.")
        )
        return section("efficiency", "Efficiency", [paragraph(f"Not known. {why}", "quiet")])
    costs = [("cost-" + str(at), each) for at, each in enumerate(found.costs, start=1)]
    ideal = "what Discord's limits ask for"
    bar = shares_bar(
        "costs",
        "What the time from the first request to the last was made of",
        [("ideal", ideal, found.ideal_s), *((s, each.shown, each.seconds) for s, each in costs)],
    )
    whole_s = found.ideal_s + sum(each.seconds for each in found.costs)
    rows = [
        _part("ideal", "the bound", found.ideal_s, whole_s, ideal),
        *(_part(style, each.shown, each.seconds, whole_s, each.why) for style, each in costs),
    ]
    headings = ("part", ">time", ">share", "what it is")
    parts = [
        paragraph(bound_in_words(found)),
        paragraph(_which_bound(found, figures)),
        Markup('<div class="bar">{}</div>').format(bar),
        table("What the time was made of", headings, rows),
        paragraph(_around(figures), "quiet"),
    ]
    return section("efficiency", "Efficiency", parts)


def _part(style: str, label: str, seconds: float, whole_s: float, why: str) -> tuple[object, ...]:
    key = Markup('<span class="key-{} swatch"></span>{}').format(style, label)
    share = f"{100 * seconds / whole_s:.1f} %" if whole_s else "–"
    return key, words.seconds(seconds), share, why


def _which_bound(found: Efficiency, figures: Figures) -> str:
    budget = f"{figures.budget_per_second or 0:,g} requests a second"
    if found.bound is Bound.BUDGET or found.largest is None:
        return f"The token's budget rules: {figures.requests:,} requests at {budget}."
    return (
        f"The largest channel rules: #{words.printable(found.largest.name)} took "
        f"{words.counted(found.largest.requests, 'request')}, and a channel gives about a page a "
        f"second, however many workers there are. At the token's {budget}, the run's "
        f"{figures.requests:,} requests would have taken less."
    )


def _around(figures: Figures) -> str:
    told = []
    if figures.startup_s is not None:
        told.append(f"Start-up, before the first request: {words.seconds(figures.startup_s)}.")
    if figures.tail_s is not None:
        told.append(
            f"Last stretch, with less than nine tenths of the budget in use: "
            f"{words.seconds(figures.tail_s)}."
        )
    return " ".join(told)


def over_time(history: JobHistory, figures: Figures) -> Markup:
    """Messages and requests a second, against the limit."""
    result = history.record.result
    spent = result.parallel_stats.time_spent if result else None
    messages = rates.messages_per_second(history.samples, figures.began_at)
    requests = rates.requests_per_second(
        history.samples, spent.requests if spent else None, figures.began_at
    )
    ends = [each[-1].until_s for each in (messages, requests) if each]
    length_s = max([figures.took_s, *ends])
    parts = []
    if requests:
        refused = rates.refusals(history.samples, figures.began_at)
        parts += [
            Markup("<h3>Requests answered each second</h3>"),
            rate_chart(
                "requests",
                "Requests answered each second, against the token's limit",
                requests,
                length_s,
                "requests/s",
                figures.budget_per_second,
                refused,
            ),
        ]
    if messages:
        parts += [
            Markup("<h3>Messages read each second</h3>"),
            rate_chart("messages", "Messages read each second", messages, length_s, "messages/s"),
        ]
    parts.append(paragraph(_of_samples(history, bool(spent and spent.requests)), "quiet"))
    return section("over-time", "Over time", parts)


def _of_samples(history: JobHistory, is_exact: bool) -> str:
    if not history.samples:
        lacking = "messages" if is_exact else "messages and requests"
        return (
            f"No samples of {lacking} were kept: the version that ran the job kept none, or it "
            "ended before the first."
        )
    kept = f"Across is the time since the job began. From {len(history.samples):,} samples"
    return f"{kept}; requests are counted by the second." if is_exact else f"{kept}."


def who_read_what(history: JobHistory, figures: Figures) -> Markup:
    """The timeline of channels over workers."""
    found = timeline(history.channels, figures.began_at.timestamp(), figures.took_s)
    if found is None:
        return section("timeline", "Who read what", [paragraph("No channel was read.", "quiet")])
    styles = styles_of(history.channels)
    named = [each for each in largest_first(history.channels) if each.channel_id in styles]
    entries = [
        (styles[each.channel_id], f"#{words.printable(each.name)} ({each.messages:,})")
        for each in named
        if styles[each.channel_id] != "failed"
    ]
    drawn = found.alone | found.together
    if drawn - styles.keys():
        entries.append(("other", "other channels"))
    if found.together:
        entries.append(("several", "several channels, each too brief to be seen"))
    if any(styles.get(each) == "failed" for each in drawn):
        entries.append(("failed", "given up"))
    legend = Markup("").join(
        Markup('<li><span class="key-{} swatch"></span>{}</li>').format(*each) for each in entries
    )
    told = (
        "Each worker reads several channels side by side, and a channel that waits for its limit "
        "gives its place to another: so it comes back, to the same worker or to another. "
    )
    parts = [
        paragraph(told + " ".join(caption(found)), "quiet"),
        Markup('<ul class="legend" aria-label="Colours">{}</ul>').format(legend),
        timeline_picture(found, history.channels),
    ]
    return section("who-read-what", "Who read what", parts)


def waits(history: JobHistory, figures: Figures) -> Markup:
    """What was waited for, in all and by worker."""
    if not history.usage:
        return Markup("")
    waited = figures.waits
    requests = max(figures.requests, 1)
    rows = [
        (
            "the token's budget",
            words.seconds(waited.permit_s),
            _each(waited.permit_s, requests),
            "for a permit: all workers share the token's requests",
        ),
        (
            "channels' own limits",
            words.seconds(waited.bucket_s),
            _each(waited.bucket_s, requests),
            "for a channel's bucket, while it held its place",
        ),
        (
            "the database",
            words.seconds(waited.database_s),
            _each(waited.database_s, requests),
            "for claims and pages to be written",
        ),
    ]
    parts = [
        paragraph(
            "Channels wait side by side: these are sums over them, and do not add up to the "
            "run's length.",
            "quiet",
        ),
        table("Waited for", ("what", ">in all", ">a request", "meaning"), rows),
        table(
            "By worker",
            ("worker", ">requests", ">429", ">permits", ">channels' limits", ">database"),
            [_of_worker(name, history.usage[name]) for name in sorted(history.usage, key=natural)][
                :SHOWN_ROWS
            ],
        ),
        more(len(history.usage), SHOWN_ROWS, "worker"),
    ]
    return section("waits", "What was waited for", parts)


def _each(seconds: float, number: int) -> str:
    return f"{1000 * seconds / number:,.1f} ms"


def _of_worker(name: str, usage: ApiUsage) -> tuple[object, ...]:
    return (
        words.printable(name),
        words.count(sum(usage.calls.values())),
        words.count(sum(usage.rate_limit_hits.values())),
        words.seconds(usage.permit_wait_s),
        words.seconds(usage.bucket_wait_s),
        words.seconds(usage.store_s),
    )


def slowest(history: JobHistory, figures: Figures) -> Markup:
    """The channels that took longest."""
    begun = [each for each in history.channels if each.started_at is not None]
    if not begun:
        return Markup("")
    by_length = sorted(begun, key=lambda each: -_length_s(each, figures))
    headings = (
        "channel",
        "=status",
        ">took",
        ">reading",
        ">visits",
        ">messages",
        ">requests",
        ">asked again",
        "last worker",
    )
    rows = [_of_channel(each, figures) for each in by_length[:SHOWN_ROWS]]
    told = "A channel is begun when its first visit is, and gives its place away between visits."
    parts = [
        paragraph(told, "quiet"),
        table("Channels that took longest", headings, rows),
        more(
            len(begun), SHOWN_ROWS, "channel", f"raysync status --job-id {history.record.id} --all"
        ),
    ]
    return section("slowest", "Slowest channels", parts)


def _length_s(channel: ChannelHistory, figures: Figures) -> float:
    if channel.started_at is None:
        return 0.0
    return ((channel.completed_at or figures.seen_at) - channel.started_at).total_seconds()


def _of_channel(channel: ChannelHistory, figures: Figures) -> tuple[object, ...]:
    visits = channel.visits or ()
    return (
        f"#{words.printable(channel.name)}",
        channel.status.value.replace("_", " "),
        words.seconds(_length_s(channel, figures)),
        words.seconds(sum(each.read_s for each in visits)) if visits else "–",
        words.count(sum(each.count for each in visits)) if visits else "–",
        words.count(channel.messages),
        words.count(channel.requests),
        words.count(channel.retry_count),
        words.printable(channel.worker_id or "–"),
    )


def asked(history: JobHistory) -> Markup:
    """What was asked of Discord, by route and answer."""
    found = routes(history.usage)
    if not found:
        return Markup("")
    rows = [
        (code(words.printable(route)), words.count(number)) for route, number in found[:SHOWN_ROWS]
    ]
    parts = [table("Requests by route and status", ("route", ">answers"), rows)]
    return section("asked", "What was asked", [*parts, more(len(found), SHOWN_ROWS, "route")])
