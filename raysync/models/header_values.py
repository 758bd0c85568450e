"""Numbers that a peer sends in headers and bodies: each is checked, and none is trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def values_of(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return every value of a header: a peer, or a proxy in between, may send it twice."""
    get_all = getattr(headers, "getall", None)
    found: Iterable[str]
    if get_all is not None:
        found = get_all(name, ())
    else:
        found = (headers[name],) if name in headers else ()
    return tuple(str(value) for value in found)


def seconds_in(value: Any) -> float | None:
    """Return *value* as a number of at least 0, perhaps infinite; None if it is no such number.

    A text is parsed. NaN, a boolean and anything below 0 are no such number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and "_" in value:  # float() accepts 1_000, which no header holds
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf if int(value) > 0 else -math.inf
    return number if number >= 0 else None


def numbers_of(headers: Mapping[str, str], name: str) -> tuple[float, ...]:
    """Return the numbers among the values of a header; a proxy may join values by commas."""
    found = [seconds_in(part) for value in values_of(headers, name) for part in value.split(",")]
    return tuple(number for number in found if number is not None)


def only_number(headers: Mapping[str, str], name: str) -> float | None:
    """Return the finite number of a header; None without one, or if two values differ."""
    values = values_of(headers, name)
    numbers = {seconds_in(part) for value in values for part in value.split(",")}
    if len(numbers) != 1:
        return None
    number = numbers.pop()
    return number if number is not None and number < math.inf else None


def waits_of(headers: Mapping[str, str], now: datetime | None = None) -> tuple[float, ...]:
    """Return the waits that `Retry-After` asks for, in seconds, by numbers and by HTTP dates.

    A date is relative to the answer's own `Date` header, if it has one, because the peer's clock
    may differ; otherwise to *now*.
    """
    waits = list(numbers_of(headers, "retry-after"))
    sent_at = next(filter(None, map(moment_in, values_of(headers, "date"))), None) or now
    for value in values_of(headers, "retry-after"):
        until = moment_in(value)
        if until is not None and sent_at is not None:
            waits.append(max((until - sent_at).total_seconds(), 0.0))
    return tuple(waits)


def bounded_wait(waits: Iterable[float], longest_s: float) -> float | None:
    """Return the longest of *waits* that is at most *longest_s*; None if there are no waits.

    If all waits are longer, return *longest_s*.
    """
    asked = [wait_s for wait_s in waits if wait_s > 0]
    believable = [wait_s for wait_s in asked if wait_s <= longest_s]
    if believable:
        return max(believable)
    return longest_s if asked else None


def moment_in(value: str) -> datetime | None:
    """Return the moment of an HTTP date, with its time zone; None if it is no date."""
    try:
        moment = parsedate_to_datetime(value)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
