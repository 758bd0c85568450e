"""Live view of a run: pure rendering, and the observer that shows it on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raysync.cli.output import words
from raysync.cli.output.hints import say_dashboard, say_started
from raysync.cli.output.invocation import as_invoked
from raysync.cli.progress import outage_messages
from raysync.cli.progress.channel_counts import counts_of_view
from raysync.models.events import ChannelView, JobView
from raysync.models.extras import ExtraTally
from raysync.models.ids import JobId
from raysync.models.outage import Outage
from raysync.models.results import SyncJobResult
from raysync.models.status import ChannelJobStatus

REFRESHES_PER_SECOND = 4
MAX_ERRORS = 3
STARTING = "Starting Ray …"
_FRAME_LINES = 6  # overall lines, blank ones and headings
_CHANNEL_BAR = 10


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all running jobs."""

    messages: int
    requests: int
    messages_per_second: float
    requests_per_second: float
    budget_per_second: float
    rate_limit_encounters: int
    extras: ExtraTally
    fraction: float | None
    eta_s: float | None


def totals(views: Sequence[JobView]) -> Totals:
    """Sum up *views*. Tenants with different tokens have separate budgets."""
    known = [view.fraction for view in views if view.fraction is not None]
    etas = [view.eta_s for view in views]
    known_etas = [eta for eta in etas if eta is not None]
    return Totals(
        messages=sum(view.messages for view in views),
        requests=sum(view.requests for view in views),
        messages_per_second=sum(view.messages_per_second for view in views),
        requests_per_second=sum(view.requests_per_second for view in views),
        budget_per_second=sum(view.budget_per_second for view in views),
        rate_limit_encounters=sum(view.rate_limit_encounters for view in views),
        extras=sum((view.extras for view in views), ExtraTally()),
        fraction=sum(known) / len(views) if known else None,
        eta_s=max(known_etas) if known_etas and len(known_etas) == len(etas) else None,
    )


def render(
    views: Sequence[JobView],
    now: datetime,
    width: int,
    height: int = 24,
    outage: Outage | None = None,
) -> RenderableType:
    """Render *views* at *now*, within *width* by *height* cells."""
    if outage is not None:
        lines = _outage_lines(outage)[:height]
        return Group(*lines, render(views, now, width, height - len(lines)))
    if not views or height < 1:
        return Text()
    failed = _failed(views)
    heads = [_head(view, now) for view in views[: max(height // 4, 1)]]
    errors = [_error_line(channel, width) for channel in failed[-MAX_ERRORS:]]
    room = height - len(heads) - _FRAME_LINES - (len(errors) + 1 if errors else 0)
    shown = _busiest(views)[: max(room, 0)]
    total = totals(views)
    parts: list[RenderableType] = [*heads, _progress_line(total, width), _rate_line(total)]
    if shown:
        parts += [Text(), _channel_table(shown, width, several=len(views) > 1)]
    if errors:
        parts += [Text(), *errors]
    return Group(*parts)


def _outage_lines(outage: Outage) -> list[Text]:
    lines = outage_messages.waiting(outage), outage_messages.reason(outage)
    return [_one_line(Text(line, style="yellow")) for line in lines]


def _head(view: JobView, now: datetime) -> Text:
    counts = counts_of_view(view)
    elapsed = words.clock((now - view.started_at).total_seconds())
    line = Text.assemble((view.tenant, "bold"), f"  {view.sync_type}  {elapsed}  ")
    line.append(f"{words.counted(counts.total, 'channel')}:")
    for number, part in enumerate(counts.parts()):
        line.append(f"{',' * bool(number)} {part}", "red" * part.endswith(" failed"))
    if view.planning:
        line.append(", looking for more channels")
    return _one_line(line)


def _progress_line(total: Totals, width: int) -> Text:
    tail = f" {words.percent(total.fraction):>5}   ETA {words.clock(total.eta_s)}"
    cells = max(width - len(tail), 10)
    return _one_line(Text.assemble((words.bar(total.fraction, cells), "cyan"), tail))


def _rate_line(total: Totals) -> Text:
    share = words.percent(total.requests_per_second / total.budget_per_second)
    line = Text.assemble(
        (words.count(total.messages), "bold"),
        f" messages, {words.rate(total.messages_per_second)}/s   ",
        f"{words.rate(total.requests_per_second)} requests/s, ",
        (share, "bold"),
        " of the limit",
    )
    for extra in words.extras(total.extras):
        line.append(f"   {extra}")
    if total.rate_limit_encounters:
        line.append(f"   {words.count(total.rate_limit_encounters)} × 429", "yellow")
    return _one_line(line)


@dataclass(frozen=True, slots=True)
class _TenantChannel:
    tenant: str
    view: ChannelView


def _busiest(views: Sequence[JobView]) -> list[_TenantChannel]:
    running = [
        _TenantChannel(view.tenant, channel)
        for view in views
        for channel in view.channels
        if channel.status is ChannelJobStatus.IN_PROGRESS
    ]
    return sorted(running, key=lambda channel: -channel.view.messages)


def _failed(views: Sequence[JobView]) -> list[_TenantChannel]:
    return [
        _TenantChannel(view.tenant, channel)
        for view in views
        for channel in view.channels
        if channel.failure is not None
    ]


def _channel_table(shown: Sequence[_TenantChannel], width: int, *, several: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", width=width)
    table.add_column("channel", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("messages", justify="right", no_wrap=True)
    table.add_column("/s", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, style="cyan", width=_CHANNEL_BAR)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("ETA", justify="right", no_wrap=True)
    for row in shown:
        channel = row.view
        prefix = f"{row.tenant} " if several else ""
        table.add_row(
            Text(f"{prefix}#{words.printable(channel.name)}"),
            words.count(channel.messages),
            words.rate(channel.messages_per_second),
            words.bar(channel.fraction, _CHANNEL_BAR),
            words.percent(channel.fraction),
            words.clock(channel.eta_s),
        )
    return table


def _error_line(failed: _TenantChannel, width: int) -> Text:
    failure = failed.view.failure
    reason = as_invoked(words.printable(failure.message)) if failure else ""
    line = Text(f"#{words.printable(failed.view.name)}: {reason}", style="red")
    line.truncate(width, overflow="ellipsis")
    return _one_line(line)


def _one_line(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text


class LiveObserver:
    """Observer that shows the live view on a terminal while its context is open."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._views: Sequence[JobView] = ()
        self._outage: Outage | None = None
        self._phase = STARTING
        self._live = Live(
            console=console,
            get_renderable=self._renderable,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._live.stop()

    def ray_ready(self, dashboard_url: str | None, token_source: str | None) -> None:
        if self._phase == STARTING:
            self._phase = "Looking up which channels the bot can read …"
        if dashboard_url:
            say_dashboard(self._console, dashboard_url, token_source)

    def started(self, tenant: str, job_id: JobId) -> None:
        say_started(self._console, tenant, job_id)

    def progress(self, views: Sequence[JobView]) -> None:
        self._views = views

    def database_away(self, outage: Outage) -> None:
        self._outage = outage

    def database_back(self, after_s: float) -> None:
        self._outage = None
        self._console.print(outage_messages.over(after_s))

    def finished(self, result: SyncJobResult) -> None:
        self._views = [view for view in self._views if view.job_id != result.job_id]
        self._phase = "Finishing …"

    def _renderable(self) -> RenderableType:
        width, height = self._console.size
        if not self._views and self._outage is None:
            return Text(self._phase, style="dim")
        return render(self._views, datetime.now(UTC), width, height - 1, self._outage)
