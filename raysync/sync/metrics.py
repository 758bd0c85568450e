"""The metrics of a run: their names, what they count, and the port that they leave by.

Labels are bounded: a tenant's slug, a route as a template, an outcome. No id is ever one. Series
begin at 0, because a rate over a counter that appears at 1 is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

EXPORTED_PREFIX: Final = "ray_"
"""What Ray puts before every name."""


class Kind(StrEnum):
    """As Prometheus knows them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, as it is exported."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """Its name at Prometheus."""
        return EXPORTED_PREFIX + self.name


class MetricSink(Protocol):
    """Where metrics go. *labels* are the values of the metric's own, in its order."""

    def add(self, metric: Metric, amount: float, labels: Sequence[str] = ()) -> None:
        """Let a counter grow; by 0 it begins to be there."""
        ...

    def set(self, metric: Metric, value: float, labels: Sequence[str] = ()) -> None:
        """Say what a gauge shows."""
        ...

    def observe(self, metric: Metric, value: float, times: int) -> None:
        """Count *value* so many times in a histogram."""
        ...


# What tenants' jobs do, as their tracker sums it up.
JOBS_RUNNING = Metric(
    "raysync_jobs_running", Kind.GAUGE, "1 while a tenant's job runs, 0 at its end", ("tenant",)
)
MESSAGES = Metric(
    "raysync_messages_total",
    Kind.COUNTER,
    "Messages in the pages that were written; those read again count again",
    ("tenant",),
)
CHANGES = Metric(
    "raysync_message_changes_total",
    Kind.COUNTER,
    "What pages changed in the database: added, edited, deleted",
    ("tenant", "change"),
)
PAGES = Metric("raysync_pages_total", Kind.COUNTER, "Pages written to the database", ("tenant",))
API_CALLS = Metric(
    "raysync_api_calls_total",
    Kind.COUNTER,
    "Requests to Discord, by route and by status; lost: no answer came",
    ("tenant", "route", "outcome"),
)
RATE_LIMITED = Metric(
    "raysync_rate_limited_total",
    Kind.COUNTER,
    "Answers of 429, by scope: user, shared, global, or ban, the address's",
    ("tenant", "scope"),
)
PERMITS = Metric(
    "raysync_permits_total",
    Kind.COUNTER,
    "Permits granted of the token's requests per second",
    ("tenant",),
)
PERMIT_WAIT = Metric(
    "raysync_permit_wait_seconds_total",
    Kind.COUNTER,
    "Waited for permits, by all requests together",
    ("tenant",),
)
BUCKET_WAIT = Metric(
    "raysync_bucket_wait_seconds_total",
    Kind.COUNTER,
    "Waited for channels' own limits, by all requests together",
    ("tenant",),
)
DATABASE_TIME = Metric(
    "raysync_database_seconds_total",
    Kind.COUNTER,
    "Spent in the database, by all channels together",
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
    "How much of the running job is done, by expected pages",
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
    "The database's time for a page, with the wait for a connection",
)
# What the driver knows.
WORKERS = Metric(
    "raysync_workers",
    Kind.GAUGE,
    "Worker processes, by state: wanted for the work there is, starting, running",
    ("state",),
)
WAITING = Metric(
    "raysync_channels_waiting",
    Kind.GAUGE,
    "Channels that could be read now and wait for a slot of a worker",
    ("tenant",),
)
WORKERS_LOST = Metric(
    "raysync_workers_lost_total", Kind.COUNTER, "Workers that died; others went on for them"
)
TRACKER_RESTARTS = Metric(
    "raysync_tracker_restarts_total",
    Kind.COUNTER,
    "Times that a job had to be told to a tracker that was started anew",
    ("tenant",),
)
DEAD_LETTERS = Metric(
    "raysync_dead_letters_total", Kind.COUNTER, "Channels that were given up", ("tenant",)
)
# What the governor knows, of all tokens together: Discord bans the address.
INVALID_REQUESTS = Metric(
    "raysync_invalid_requests",
    Kind.GAUGE,
    "Answers in the last ten minutes that count toward a ban",
)
INVALID_REQUEST_LIMIT = Metric(
    "raysync_invalid_requests_limit",
    Kind.GAUGE,
    "At so many of them every run stops by itself",
)

ALL: Final = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
"""Every metric there is; docs, dashboard and alerts are tested against it."""
