"""Metrics of a run: their names, their meaning, and the port that exports them.

Labels are bounded: a tenant's slug, a route as a template, an outcome. No id is ever a label.
Series start at 0, because a rate over a counter that appears at 1 is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

EXPORTED_PREFIX: Final = "ray_"
"""Prefix that Ray adds to every name."""


class Kind(StrEnum):
    """Kind of a metric, in Prometheus' terms."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported metric."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """Name in Prometheus."""
        return EXPORTED_PREFIX + self.name


class MetricSink(Protocol):
    """Exporter of metrics. *labels* are the values of the metric's labels, in its order."""

    def add(self, metric: Metric, amount: float, labels: Sequence[str] = ()) -> None:
        """Increase a counter; an amount of 0 creates its series."""
        ...

    def set(self, metric: Metric, value: float, labels: Sequence[str] = ()) -> None:
        """Set a gauge."""
        ...

    def observe(self, metric: Metric, value: float, times: int) -> None:
        """Add *value* to a histogram, *times* times."""
        ...


# Metrics of a tenant's job, from its tracker.
JOBS_RUNNING = Metric(
    "raysync_jobs_running", Kind.GAUGE, "1 while a tenant's job runs, 0 at its end", ("tenant",)
)
MESSAGES = Metric(
    "raysync_messages_total",
    Kind.COUNTER,
    "Messages in written pages; a message that is read again counts again",
    ("tenant",),
)
CHANGES = Metric(
    "raysync_message_changes_total",
    Kind.COUNTER,
    "Changes that pages made in the database: added, edited, deleted",
    ("tenant", "change"),
)
PAGES = Metric("raysync_pages_total", Kind.COUNTER, "Pages written to the database", ("tenant",))
API_CALLS = Metric(
    "raysync_api_calls_total",
    Kind.COUNTER,
    "Requests to Discord, by route and status; lost: no answer came",
    ("tenant", "route", "outcome"),
)
RATE_LIMITED = Metric(
    "raysync_rate_limited_total",
    Kind.COUNTER,
    "Answers with status 429, by scope: user, shared, global, or ban (of the address)",
    ("tenant", "scope"),
)
PERMITS = Metric(
    "raysync_permits_total",
    Kind.COUNTER,
    "Permits granted from the token's requests per second",
    ("tenant",),
)
PERMIT_WAIT = Metric(
    "raysync_permit_wait_seconds_total",
    Kind.COUNTER,
    "Seconds waited for permits, by all requests together",
    ("tenant",),
)
BUCKET_WAIT = Metric(
    "raysync_bucket_wait_seconds_total",
    Kind.COUNTER,
    "Seconds waited for channels' own rate limits, by all requests together",
    ("tenant",),
)
DATABASE_TIME = Metric(
    "raysync_database_seconds_total",
    Kind.COUNTER,
    "Seconds spent in the database, by all channels together",
    ("tenant",),
)
CHANNELS = Metric(
    "raysync_channels",
    Kind.GAUGE,
    "Channels of the running job, by state: pending, in_progress, completed, failed, skipped",
    ("tenant", "state"),
)
PROGRESS = Metric(
    "raysync_progress_ratio",
    Kind.GAUGE,
    "Share of the running job that is done, by expected pages",
    ("tenant",),
)
EFFICIENCY = Metric(
    "raysync_efficiency_ratio",
    Kind.GAUGE,
    "The time that Discord's limits alone demand for the requests so far, over the time they took",
    ("tenant",),
)
ANSWER_TIME = Metric(
    "raysync_answer_seconds",
    Kind.HISTOGRAM,
    "From sending a request until Discord's answer",
)
PAGE_SAVE_TIME = Metric(
    "raysync_page_save_seconds",
    Kind.HISTOGRAM,
    "Time of writing a page to the database, with the wait for a connection",
)
# Metrics of a run, from its driver.
WORKERS = Metric(
    "raysync_workers",
    Kind.GAUGE,
    "Worker processes, by state: wanted for the work there is, starting, running",
    ("state",),
)
WAITING = Metric(
    "raysync_channels_waiting",
    Kind.GAUGE,
    "Channels that could be read now, but wait for a worker's slot",
    ("tenant",),
)
WORKERS_LOST = Metric(
    "raysync_workers_lost_total",
    Kind.COUNTER,
    "Workers that died; other workers continued their channels",
)
TRACKER_RESTARTS = Metric(
    "raysync_tracker_restarts_total",
    Kind.COUNTER,
    "Restarts of trackers; each receives its job again",
    ("tenant",),
)
DEAD_LETTERS = Metric(
    "raysync_dead_letters_total", Kind.COUNTER, "Channels that were given up", ("tenant",)
)
# Metrics from the governor, of all tokens together: Discord bans the address, not a token.
INVALID_REQUESTS = Metric(
    "raysync_invalid_requests",
    Kind.GAUGE,
    "Answers in the last ten minutes that count toward a ban",
)
INVALID_REQUEST_LIMIT = Metric(
    "raysync_invalid_requests_limit",
    Kind.GAUGE,
    "Number of these answers at which every run stops by itself",
)

ALL: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All metrics; tests compare docs, dashboard and alerts with them."""
