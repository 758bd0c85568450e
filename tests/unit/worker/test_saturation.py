"""When a worker says that another would help."""

from __future__ import annotations

import pytest

from raysync.ratelimit.in_flight_limit import InFlightLimit
from raysync.worker.saturation import Saturation
from tests.virtual_time import LoopClock


class Hands(LoopClock):
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.computed_s = 0.0

    def monotonic_s(self) -> float:
        return self.at_s

    def cpu_s(self) -> float:
        return self.computed_s


@pytest.mark.parametrize(
    ("waited_s", "computed_s", "expected"),
    [
        pytest.param(0.0, 0.3, False, id="the-token-is-the-limit"),
        pytest.param(0.2, 0.3, True, id="requests-wait-for-a-place"),
        pytest.param(0.05, 0.3, False, id="now-and-then"),
        pytest.param(0.0, 0.8, True, id="the-core-is-busy"),
    ],
)
def test_a_worker_is_full(waited_s: float, computed_s: float, expected: bool) -> None:
    hands, places = Hands(), InFlightLimit(5)
    fullness = Saturation(places, hands, hands.cpu_s)
    places.waited_s, hands.computed_s, hands.at_s = waited_s, computed_s, 1.0

    assert fullness.is_full() is expected
    hands.at_s = 1.1
    assert fullness.is_full() is expected, "half a second counts, not a moment"
    hands.at_s = 2.0
    assert not fullness.is_full(), "what was long ago does not count"
