"""Metric sink that remembers its calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from raysync.sync.progress.metrics import Kind, Metric


class FakeSink:
    """Values that an exporter would show: sums of counters, last values of gauges."""

    def __init__(self) -> None:
        self.counters: Counter[tuple[str, ...]] = Counter()
        self.gauges: dict[tuple[str, ...], float] = {}
        self.observed: Counter[tuple[str, float]] = Counter()

    def add(self, metric: Metric, amount: float, labels: Sequence[str] = ()) -> None:
        assert metric.kind is Kind.COUNTER
        assert amount >= 0
        assert len(labels) == len(metric.labels)
        self.counters[metric.name, *labels] += amount  # type: ignore[assignment]

    def set(self, metric: Metric, value: float, labels: Sequence[str] = ()) -> None:
        assert metric.kind is Kind.GAUGE
        assert len(labels) == len(metric.labels)
        self.gauges[metric.name, *labels] = value

    def observe(self, metric: Metric, value: float, times: int) -> None:
        assert metric.kind is Kind.HISTOGRAM
        self.observed[metric.name, value] += times
