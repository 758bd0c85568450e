"""Metrics exported by Ray: each node's agent serves them to Prometheus, a few seconds later.

Ray drops a gauge that is not set for two of its report periods, and exports pending values when a
process ends. Counters and histograms of an ended process keep their last value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ray.util import metrics as ray_metrics

from raysync.models.durations import BOUNDS_S
from raysync.sync.progress.metrics import Kind, Metric

BEAT_S = 1.0
"""Seconds between updates of gauges. Ray's report period is 10 s, and at least 1 s."""


class RayMetrics:
    """`MetricSink` over Ray's metrics. Without a connection to Ray, values are discarded."""

    def __init__(self) -> None:
        self._made: dict[
            str, Any
        ] = {}  # Any: Ray's metrics have no common base class with these methods

    def add(self, metric: Metric, amount: float, labels: Sequence[str] = ()) -> None:
        """Increase a counter; 0 creates it."""
        # A counter must have been 0 for Prometheus to see its first increase, but `inc` refuses 0.
        self._of(metric)._record(amount, _tags(metric, labels))  # noqa: SLF001

    def set(self, metric: Metric, value: float, labels: Sequence[str] = ()) -> None:
        """Set a gauge."""
        self._of(metric).set(value, _tags(metric, labels))

    def observe(self, metric: Metric, value: float, times: int) -> None:
        """Count *value* in a histogram *times* times; its bounds are those of `Durations`."""
        histogram = self._of(metric)
        for _ in range(times):
            histogram.observe(value)

    def _of(self, metric: Metric) -> Any:
        if metric.name not in self._made:
            self._made[metric.name] = _make(metric)
        return self._made[metric.name]


def _make(metric: Metric) -> Any:
    if metric.kind is Kind.HISTOGRAM:
        return ray_metrics.Histogram(metric.name, metric.help, list(BOUNDS_S), metric.labels)
    kind = ray_metrics.Counter if metric.kind is Kind.COUNTER else ray_metrics.Gauge
    return kind(metric.name, metric.help, metric.labels)


def _tags(metric: Metric, labels: Sequence[str]) -> dict[str, str]:
    return dict(zip(metric.labels, labels, strict=True))


async def beat(publish: Callable[[], None]) -> None:
    """Call *publish* now and then once a second."""
    while True:
        publish()
        await asyncio.sleep(BEAT_S)
