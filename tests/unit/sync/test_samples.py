"""Samples of a run of any length are bounded, and spread over all of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest

from raysync.models.samples import MOST_SAMPLES, slot_s, step_s


def kept(beats: Iterable[float]) -> list[int]:
    """Return the slots in the store after these heartbeats: each thins out, then writes its own."""
    slots: set[int] = set()
    step = 1
    for elapsed_s in beats:
        slot = slot_s(elapsed_s)
        if step_s(slot) != step:
            step = step_s(slot)
            slots = {each for each in slots if each % step == 0}
        slots.add(slot)
        assert len(slots) <= MOST_SAMPLES
    return sorted(slots)


def test_a_short_run_is_sampled_by_the_second() -> None:
    assert kept(number + 0.3 for number in range(31)) == list(range(31))


@pytest.mark.parametrize("lasts_s", [599, 600, 601, 1_199, 1_200, 7_200, 90_000])
def test_a_long_run_is_sampled_evenly_and_boundedly(lasts_s: int) -> None:
    slots = kept(float(second) for second in range(lasts_s + 1))

    steps = {later - earlier for earlier, later in pairwise(slots)}
    assert steps == {step_s(lasts_s)}
    assert MOST_SAMPLES / 2 <= len(slots) <= MOST_SAMPLES
    assert slots[-1] + step_s(lasts_s) > lasts_s


def test_a_sampler_that_begins_in_the_middle_goes_on_in_step() -> None:
    """A tracker restarted after 1,000 s uses the slots of the one before."""
    beats = [float(second) for second in range(3_000)]
    restarted = [*beats[:990], *beats[1_000:]]

    steps = {later - earlier for earlier, later in pairwise(kept(restarted))}
    assert steps <= {8, 16}


def test_the_step_follows_from_the_slot_alone() -> None:
    for elapsed_s in range(0, 100_000, 7):
        assert step_s(slot_s(elapsed_s)) == step_s(elapsed_s)


def test_a_clock_that_is_behind_the_drivers_samples_the_beginning() -> None:
    assert slot_s(-3.0) == 0
