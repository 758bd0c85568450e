"""Ids in text, in whatever digits they are written.

An id is a number of 17 to 20 digits whose time lies between 2015 and tomorrow. Its digits may be
those of any script, raised, lowered or circled, with leading zeros, and with characters between
them that nobody sees. A longer number is none, nor is a part of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from raysync.models.ids import DISCORD_EPOCH_MS, TIMESTAMP_SHIFT

LEAST_DIGITS: Final = 17
"""Of Discord's first accounts, of 2015."""
MOST_DIGITS: Final = 20
LEAST_ID: Final = 10 ** (LEAST_DIGITS - 1)
A_DAY: Final = 86_400_000 << TIMESTAMP_SHIFT
"""How much ids grow in a day."""

_DIGITS: Final = (
    r"\d\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468"
    r"\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792"
    r"\U00010a40-\U00010a43\U00010e60-\U00010e68\U00011052-\U0001105a\U0001f100-\U0001f10a"
)
"""All that Unicode gives the value of a digit."""
_UNSEEN: Final = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
    r"\u00ad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u1ab0-\u1aff\u1dc0-\u1dff\u2060-\u206f\u20d0-\u20f0\u3164\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
)
"""Controls, what Unicode lets be ignored when it is shown, and marks on the digit before them, as
of text that is struck out, and the frame of a keycap."""

NUMBER: Final = f"[{_DIGITS}][{_DIGITS}{_UNSEEN}]*"
"""A regular expression of any number, however it is written."""
LONG_NUMBER: Final = f"[{_DIGITS}][{_DIGITS}{_UNSEEN}]{{{LEAST_DIGITS - 1},}}"
"""The same of one that is long enough for an id; it may be too long."""

_SUSPECT: Final = re.compile(f"[%{_DIGITS}{_UNSEEN}]").search
_FOUND: Final = re.compile(LONG_NUMBER).search
_TAIL: Final = re.compile(f"[{_UNSEEN}]+$")
_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")
_HASH_CHARACTERS: Final = 32


def may_hold_id(text: str) -> bool:
    """Return whether *text* may hold an id. False is certain. Fast, since every text is checked.

    Of any 17 characters in a row, one has an index that is a multiple of 17 less one.
    """
    return (
        len(text) >= LEAST_DIGITS
        and _SUSPECT(text[LEAST_DIGITS - 1 :: LEAST_DIGITS]) is not None
        and ("%" in text or "\\" in text or _FOUND(text) is not None)
    )


def highest_id(now_s: float) -> int:
    """Return the upper bound of the ids that are made until tomorrow."""
    return ((int(now_s * 1000) - DISCORD_EPOCH_MS) << TIMESTAMP_SHIFT) + A_DAY


def is_plain(number: str) -> bool:
    """Return whether *number* consists of ASCII digits alone."""
    return number.isascii() and number.isdigit()


def plain_digits(number: str) -> str:
    """Return a number in ASCII digits, without leading zeros."""
    if not is_plain(number):
        found = (unicodedata.digit(each, -1) for each in number)
        number = "".join(str(each) for each in found if each >= 0)
    return number.lstrip("0") or "0"


def alike(number: str) -> Iterator[str]:
    """Split a number where the script of its digits changes, or unseen characters begin."""
    for _, stretch in groupby(number, _zero_of):
        yield "".join(stretch)


def _zero_of(character: str) -> int:
    """Return the code point of the zero of a digit's script; -1 for no digit.

    Digits that are raised, circled and the like stand in several places, so they are of one: -2.
    """
    value = unicodedata.decimal(character, -1)
    if value >= 0:
        return ord(character) - value
    return -1 if unicodedata.digit(character, -1) < 0 else -2


def without_tail(number: str) -> str:
    """Strip unseen characters behind the last digit of a match of `LONG_NUMBER`."""
    return number if is_plain(number) else _TAIL.sub("", number)


def is_fraction(text: str, start: int) -> bool:
    """Return whether the number at *start* is a fraction, as after the point of ``0.3``."""
    if text[max(start - 2, 0) : start] != "0.":
        return False
    before = text[start - 3 : start - 2]
    return not (before.isalnum() or before == ".")


def is_in_hash(text: str, start: int, stop: int) -> bool:
    """Return whether the number is part of a hash: a long hexadecimal word."""
    while start > 0 and text[start - 1] in _HEXADECIMAL:
        start -= 1
    while stop < len(text) and text[stop] in _HEXADECIMAL:
        stop += 1
    return stop - start >= _HASH_CHARACTERS and not text[start:stop].isdigit()
