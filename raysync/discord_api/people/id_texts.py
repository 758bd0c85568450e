"""Ids in text, in the digits of any script.

An id is a number of 17 to 20 digits whose time lies between 2015 and tomorrow. Its digits may be
of any script, superscript, subscript or circled, with leading zeros, and with invisible characters
between them. A longer number is not an id, and holds none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from raysync.models.ids import DISCORD_EPOCH_MS, TIMESTAMP_SHIFT

MIN_DIGITS: Final = 17
"""Digits of the ids of Discord's first accounts, in 2015."""
MAX_DIGITS: Final = 20
LEAST_ID: Final = 10 ** (MIN_DIGITS - 1)
DAY_OF_IDS: Final = 86_400_000 << TIMESTAMP_SHIFT
"""Increase of ids in a day."""

_DIGITS: Final = (
    r"\d\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468"
    r"\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792"
    r"\U00010a40-\U00010a43\U00010e60-\U00010e68\U00011052-\U0001105a\U0001f100-\U0001f10a"
)
"""All characters to which Unicode gives the value of a digit."""
_INVISIBLE: Final = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
    r"\u00ad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u1ab0-\u1aff\u1dc0-\u1dff\u2060-\u206f\u20d0-\u20f0\u3164\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
)
"""Control characters, default-ignorable characters, and combining marks, such as strikethrough
and the frame of a keycap."""

NUMBER: Final = f"[{_DIGITS}][{_DIGITS}{_INVISIBLE}]*"
"""Regular expression of a number in any digits."""
LONG_NUMBER: Final = f"[{_DIGITS}][{_DIGITS}{_INVISIBLE}]{{{MIN_DIGITS - 1},}}"
"""Regular expression of a number of at least `MIN_DIGITS` digits. It may be too long for an id."""

_SUSPECT: Final = re.compile(f"[%{_DIGITS}{_INVISIBLE}]").search
_LONG_NUMBER: Final = re.compile(LONG_NUMBER).search
_TAIL: Final = re.compile(f"[{_INVISIBLE}]+$")
_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")
_HASH_CHARACTERS: Final = 32


def may_hold_id(text: str) -> bool:
    """Return whether *text* may hold an id. False is certain.

    Every text is checked, so this is fast: it looks at every 17th character first. Any 17
    characters in a row include one of these.
    """
    return (
        len(text) >= MIN_DIGITS
        and _SUSPECT(text[MIN_DIGITS - 1 :: MIN_DIGITS]) is not None
        and ("%" in text or "\\" in text or _LONG_NUMBER(text) is not None)
    )


def highest_id(now_s: float) -> int:
    """Return the upper bound of the ids that Discord makes until tomorrow."""
    return ((int(now_s * 1000) - DISCORD_EPOCH_MS) << TIMESTAMP_SHIFT) + DAY_OF_IDS


def is_plain(number: str) -> bool:
    """Return whether *number* consists of ASCII digits only."""
    return number.isascii() and number.isdigit()


def plain_digits(number: str) -> str:
    """Return a number in ASCII digits, without leading zeros."""
    if not is_plain(number):
        digits = (unicodedata.digit(character, -1) for character in number)
        number = "".join(str(digit) for digit in digits if digit >= 0)
    return number.lstrip("0") or "0"


def split_by_script(number: str) -> Iterator[str]:
    """Split a number where the script of its digits changes, or invisible characters begin."""
    for _, stretch in groupby(number, _zero_of):
        yield "".join(stretch)


def _zero_of(character: str) -> int:
    """Return the code point of the zero of a digit's script, or -1 if it is not a digit.

    Superscript, circled and similar digits are scattered over Unicode: all of them return -2.
    """
    value = unicodedata.decimal(character, -1)
    if value >= 0:
        return ord(character) - value
    return -1 if unicodedata.digit(character, -1) < 0 else -2


def without_tail(number: str) -> str:
    """Strip invisible characters after the last digit of a match of `LONG_NUMBER`."""
    return number if is_plain(number) else _TAIL.sub("", number)


def is_fraction(text: str, start: int) -> bool:
    """Return whether the number at *start* is a fraction, such as the 3 of ``0.3``."""
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
