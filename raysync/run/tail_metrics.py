"""Metrics of a tail, for Prometheus: a process of its own needs no Ray to export them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from raysync.errors import ConfigurationError

EVENTS: Final = frozenset(
    {
        "CHANNEL_CREATE", "CHANNEL_DELETE", "CHANNEL_UPDATE", "GUILD_CREATE", "GUILD_DELETE",
        "GUILD_ROLE_CREATE", "GUILD_ROLE_DELETE", "GUILD_ROLE_UPDATE", "GUILD_UPDATE",
        "MESSAGE_CREATE", "MESSAGE_DELETE", "MESSAGE_DELETE_BULK", "MESSAGE_POLL_VOTE_ADD",
        "MESSAGE_POLL_VOTE_REMOVE", "MESSAGE_REACTION_ADD", "MESSAGE_REACTION_REMOVE",
        "MESSAGE_REACTION_REMOVE_ALL", "MESSAGE_REACTION_REMOVE_EMOJI", "MESSAGE_UPDATE", "READY",
        "RESUMED", "THREAD_CREATE", "THREAD_DELETE", "THREAD_LIST_SYNC", "THREAD_UPDATE",
    }
)  # fmt: skip
"""Values of the label `event`; any other event is `other`."""
_SECONDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
_NUMBERS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True, slots=True)
class TailMetric:
    """One metric, as the docs and the dashboard name it."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


LISTENING: Final = TailMetric(
    "raysync_tail_listening", "gauge", "Tenants that are listened to without a gap"
)
EVENTS_STORED: Final = TailMetric(
    "raysync_tail_events_total", "counter", "Events of the gateway, by type", ("event",)
)
LAG: Final = TailMetric(
    "raysync_tail_lag_seconds",
    "histogram",
    "From Discord's event to its row, of the slowest of each batch",
)
BATCH: Final = TailMetric("raysync_tail_batch_events", "histogram", "Events of one transaction")
DISCONNECTS: Final = TailMetric(
    "raysync_tail_disconnects_total", "counter", "Connections to the gateway that ended"
)
RESUMES: Final = TailMetric(
    "raysync_tail_resumes_total", "counter", "Sessions that another connection continued"
)
IDENTIFIES: Final = TailMetric(
    "raysync_tail_identifies_total", "counter", "Sessions that were begun"
)
IDENTIFIES_LEFT: Final = TailMetric(
    "raysync_tail_identifies_left",
    "gauge",
    "Sessions that Discord still allowed when it was last asked",
)
SETTLES: Final = TailMetric(
    "raysync_tail_settles_total", "counter", "Whole settle passes that were completed"
)
MISSED: Final = TailMetric(
    "raysync_tail_missed_total",
    "counter",
    "Changes found by look-backs that the tail should have heard",
)
ALL: Final = (
    LISTENING, EVENTS_STORED, LAG, BATCH, DISCONNECTS, RESUMES, IDENTIFIES, IDENTIFIES_LEFT,
    SETTLES, MISSED,
)  # fmt: skip


class TailMetrics:
    """`TailMeter` that Prometheus reads."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._listening = Gauge(LISTENING.name, LISTENING.help, registry=registry)
        self._events = Counter(
            EVENTS_STORED.name, EVENTS_STORED.help, EVENTS_STORED.labels, registry=registry
        )
        self._lag = Histogram(LAG.name, LAG.help, buckets=_SECONDS, registry=registry)
        self._batch = Histogram(BATCH.name, BATCH.help, buckets=_NUMBERS, registry=registry)
        self._disconnects = Counter(DISCONNECTS.name, DISCONNECTS.help, registry=registry)
        self._resumes = Counter(RESUMES.name, RESUMES.help, registry=registry)
        self._identifies = Counter(IDENTIFIES.name, IDENTIFIES.help, registry=registry)
        self._left = Gauge(IDENTIFIES_LEFT.name, IDENTIFIES_LEFT.help, registry=registry)
        self._settles = Counter(SETTLES.name, SETTLES.help, registry=registry)
        self._missed = Counter(MISSED.name, MISSED.help, registry=registry)

    def serve(self, host: str, port: int) -> Callable[[], None]:
        """Serve the metrics at ``/metrics``, and return what ends that.

        Raises:
            ConfigurationError: the port is taken, or this machine has no such address.
        """
        try:
            server, _ = start_http_server(port, host, registry=self.registry)
        except OSError as error:
            raise ConfigurationError(
                f"The metrics cannot be served at {host}:{port}: {error.strerror}. Choose another "
                "--metrics-port."
            ) from None

        def end() -> None:
            server.shutdown()
            with closing(server.socket):
                pass

        return end

    def watch(self, listening: Callable[[], int]) -> None:
        """Ask *listening* for the number of tenants whenever the metrics are read."""
        self._listening.set_function(listening)

    def event(self, name: str) -> None:
        """See `TailMeter`."""
        self._events.labels(name if name in EVENTS else "other").inc()

    def batch(self, events: int, lag_s: float) -> None:
        """See `TailMeter`."""
        self._batch.observe(events)
        self._lag.observe(lag_s)

    def resumed(self) -> None:
        """See `TailMeter`."""
        self._resumes.inc()

    def identified(self, left: int) -> None:
        """See `TailMeter`."""
        self._identifies.inc()
        self._left.set(left)

    def closed(self) -> None:
        """See `TailMeter`."""
        self._disconnects.inc()

    def settled(self, missed: int) -> None:
        """See `TailMeter`."""
        self._settles.inc()
        self._missed.inc(missed)
