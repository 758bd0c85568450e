"""Latency of answers."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Latency:
    """Delay of each answer, in seconds: uniform around the mean, repeatable by the seed."""

    mean_s: float = 0.0
    spread_s: float = 0.0
    seed: int = 0

    def draws(self) -> Iterator[float]:
        """Yield the delays, one for each answer."""
        dice = random.Random(self.seed)  # noqa: S311 -- repeatable, nothing secret
        while True:
            yield max(0.0, self.mean_s + dice.uniform(-self.spread_s, self.spread_s))
