"""Sink for the metrics of a run without Ray, which has no exporter."""

from __future__ import annotations

from collections.abc import Sequence

from raysync.sync.progress.metrics import Metric


class NoMetrics:
    """`MetricSink` that discards all values."""

    def add(self, metric: Metric, amount: float, labels: Sequence[str] = ()) -> None:
        """Discard an increase."""

    def set(self, metric: Metric, value: float, labels: Sequence[str] = ()) -> None:
        """Discard a value."""

    def observe(self, metric: Metric, value: float, times: int) -> None:
        """Discard an observation."""
