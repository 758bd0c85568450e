"""Metrics by way of Ray: every node's agent shows them to Prometheus, a few seconds later.

Ray forgets gauges that nobody sets two of its report periods later, and tells what is left when a
process ends. Counters and histograms of a process that has ended stay at what they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ray.util import metrics as ray_metrics

from raysync.models.durations import BOUNDS_S
from raysync.sync.metrics import Kind, Metric

BEAT_S = 1.0
"""Gauges are told so often: Ray reports every 10 s, or as often as once a second."""


class RayMetrics:
    """Satisfies `MetricSink`. In a process that is joined to no Ray it goes nowhere."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}  # Any: Ray's metrics have no base with what we call

    def add(self, metric: Metric, amount: float, labels: Sequence[str] = ()) -> None:
        """Let a counter grow, or begin."""
        # `inc` refuses 0, which a counter must have been for its first growth to be seen
        self._of(metric)._record(amount, _tags(metric, labels))  # noqa: SLF001

    def set(self, metric: Metric, value: float, labels: Sequence[str] = ()) -> None:
        """Say what a gauge shows."""
        self._of(metric).set(value, _tags(metric, labels))

    def observe(self, metric: Metric, value: float, times: int) -> None:
        """Count *value* in a histogram, whose bounds are those of `Durations`."""
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


async def beat(tell: Callable[[], None]) -> None:
    """Call *tell* now and once a second."""
    while True:
        tell()
        await asyncio.sleep(BEAT_S)
