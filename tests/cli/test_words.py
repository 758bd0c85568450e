"""Figures, times and names as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from raysync.cli.output import words
from raysync.models.extras import ExtraTally


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (0.04, "0.0 s"),
        (31.24, "31.2 s"),
        (59.96, "1 min 0 s"),
        (125, "2 min 5 s"),
        (12_000, "3 h 20 min"),
        (400_000, "4 d 15 h"),
    ],
)
def test_seconds_grow_into_larger_units(duration_s, expected):
    assert expected == words.seconds(duration_s)


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [(None, "–"), (8.6, "0:09"), (59.7, "1:00"), (754, "12:34"), (3723, "1:02:03"), (-1, "0:00")],
)
def test_clock_fits_a_column(duration_s, expected):
    assert expected == words.clock(duration_s)


@pytest.mark.parametrize(
    ("share", "expected"), [(None, "–"), (0.999, "99 %"), (1.0, "100 %"), (1.7, "100 %")]
)
def test_percent_is_a_hundred_only_at_the_end(share, expected):
    assert expected == words.percent(share)


def test_counted_agrees_with_its_noun():
    assert (words.counted(1, "channel"), words.counted(1200, "channel")) == (
        "1 channel",
        "1,200 channels",
    )


@given(st.none() | st.floats(allow_nan=False), st.integers(1, 200))
def test_bar_is_as_wide_as_asked(share, width):
    assert cell_len(words.bar(share, width)) == width


def test_printable_takes_commands_and_direction_marks_out():
    assert words.printable("a\x1b[31mb\u202ec\nd\u200b") == "a[31mbc d"


def test_printable_leaves_names_as_they_are():
    for name in ("日本語", "👩‍👩‍👧 family", "चैट-क्‍ष", "général"):
        assert words.printable(name) == name


def test_a_sparkline_shows_the_highest_full_and_fits_its_width() -> None:
    assert words.sparkline([0, 24, 48], 10) == " ▄█"
    assert len(words.sparkline([1] * 1000, 40)) <= 40
    assert words.sparkline([], 10) == ""


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1_500, "1.5 kB"),
        (40_800_000, "40.8 MB"),
        (5 * 10**12, "5,000.0 GB"),
    ],
)
def test_bytes_are_told_in_thousands(number, text):
    assert words.size(number) == text


def test_extras_are_told_where_there_are_any():
    assert words.extras(ExtraTally()) == []
    assert words.extras(ExtraTally(1_204, 31, 1_200_000, 1)) == [
        "1,204 reactors",
        "31 attachments stored (1.2 MB)",
        "1 attachment unavailable now",
    ]
