"""Numbers that a peer sends in headers and bodies: checked one by one, and never trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def values_of(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return every value of a header: a peer, or a proxy on the way, may send it twice."""
    get_all = getattr(headers, "getall", None)
    found: Iterable[str]
    if get_all is not None:
        found = get_all(name, ())
    else:
        found = (headers[name],) if name in headers else ()
    return tuple(str(each) for each in found)


def seconds_in(value: Any) -> float | None:
    """Return *value* as a number of at least 0, perhaps infinite; None where it is none.

    A text counts as the number it shows. NaN, a truth value and anything below 0 are no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and "_" in value:  # Python's own notation, nobody else's
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf if int(value) > 0 else -math.inf
    return number if number >= 0 else None


def numbers_of(headers: Mapping[str, str], name: str) -> tuple[float, ...]:
    """Return the numbers among the values of a header; a proxy may join them by commas."""
    found = [seconds_in(part) for each in values_of(headers, name) for part in each.split(",")]
    return tuple(each for each in found if each is not None)


def only_number(headers: Mapping[str, str], name: str) -> float | None:
    """Return the finite number of a header; None without one, and where two contradict."""
    values = values_of(headers, name)
    numbers = {seconds_in(part) for each in values for part in each.split(",")}
    if len(numbers) != 1:
        return None
    number = numbers.pop()
    return number if number is not None and number < math.inf else None


def waits_of(headers: Mapping[str, str], now: datetime | None = None) -> tuple[float, ...]:
    """Return what `Retry-After` asks for, in seconds: numbers, and HTTP dates seen from now.

    A date counts from the answer's own `Date`, where there is one: two clocks may differ.
    """
    waits = list(numbers_of(headers, "retry-after"))
    sent_at = next(filter(None, map(moment_in, values_of(headers, "date"))), None) or now
    for value in values_of(headers, "retry-after"):
        until = moment_in(value)
        if until is not None and sent_at is not None:
            waits.append(max((until - sent_at).total_seconds(), 0.0))
    return tuple(waits)


def bounded_wait(waits: Iterable[float], longest_s: float) -> float | None:
    """Return the longest of *waits* that is believable; None where nothing is asked for.

    Where none of them is believable, it is *longest_s*: more is asked for than anybody may.
    """
    asked = [each for each in waits if each > 0]
    believable = [each for each in asked if each <= longest_s]
    if believable:
        return max(believable)
    return longest_s if asked else None


def moment_in(value: str) -> datetime | None:
    """Return the moment that an HTTP date names, aware; None where it is no date."""
    try:
        moment = parsedate_to_datetime(value)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
