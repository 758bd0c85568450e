"""Events of a session: each once, in order, without a hole."""

from __future__ import annotations

import random

import pytest

from raysync.live.order import Order
from raysync.models.live import Dispatch


def event(sequence: int) -> Dispatch:
    return Dispatch(sequence, "MESSAGE_CREATE", {}, 0.0)


def taken(order: Order, *sequences: int) -> list[int]:
    return [one.sequence for each in sequences for one in order.add(event(each))]


@pytest.mark.parametrize(
    ("given", "released", "is_incomplete"),
    [
        ([6, 7, 8], [6, 7, 8], False),
        ([6, 6, 7, 6, 7], [6, 7], False),
        ([7, 6, 9, 8], [6, 7, 8, 9], False),
        ([6, 8, 9], [6], True),
        ([3, 4, 5], [], False),
    ],
)
def test_events_are_released_in_order_and_once(given, released, is_incomplete) -> None:
    order = Order(5)

    assert taken(order, *given) == released
    assert order.is_incomplete is is_incomplete


def test_a_resumed_session_fills_the_hole() -> None:
    order = Order(5)
    taken(order, 6, 8, 9)
    order.drop_held()

    assert order.released == 6
    assert taken(order, 7, 8, 9, 10) == [7, 8, 9, 10]


def test_a_hole_that_stays_is_given_up() -> None:
    order = Order(5)
    taken(order, 8, 9, 11)

    assert [one.sequence for one in order.skip_hole()] == [8, 9]
    assert (order.released, order.is_incomplete) == (9, True)
    assert [one.sequence for one in order.skip_hole()] == [11]


def test_any_shuffle_comes_out_in_order() -> None:
    for seed in range(50):
        dice = random.Random(seed)
        given = list(range(1, 60)) * 2
        dice.shuffle(given)

        assert taken(Order(0), *given) == list(range(1, 60))
