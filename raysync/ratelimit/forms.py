"""Which form a route's buckets have, as honest headers give it away.

A leaky bucket that holds ``used`` requests of ``limit`` says that ``limit - used`` remain, rounded
down, and that it is empty again after ``used`` times its interval. So the first request of a full
bucket tells the interval, and each later answer must fit it. In a fixed window the time left only
falls, in a sliding log it is always the window: neither fits for three answers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

_FITS: Final = 2
"""Answers of a bucket used at least twice that must fit before it is taken for leaky."""
_MISFITS: Final = 2
"""Answers that do not fit before a route is taken for not leaky ..."""
_SURE: Final = 20
"""... until so many fit in a row, which no other form brings about: the misfits were errors."""
_TOLERANCE: Final = 0.02
_ROUNDING_S: Final = 0.002
"""Discord rounds to the millisecond, and so did what we compare with."""
PADDING: Final = 0.02
"""What windows are rounded by."""


class BucketForm(StrEnum):
    """How the buckets of a route hold their limit."""

    UNKNOWN = "unknown"  #: so the promise is kept that every form is satisfied with
    LEAKY = "leaky"  #: drains evenly: one more request each window / limit
    FIXED = "fixed"  #: by windows, fixed or sliding; or a refusal says that it is not leaky


class FormEvidence:
    """What the answers of one route have told of its form so far."""

    def __init__(self, limit: int, interval_s: float | None = None) -> None:
        """*interval_s* is what a leaky bucket needs to drain by one, where that is known."""
        self.limit = limit
        self.interval_s = interval_s
        self._fits = _FITS if interval_s is not None else 0
        self._misfits = 0

    def note(self, remaining: int, reset_after_s: float) -> BucketForm:
        """Take in one answer; return what to believe now."""
        fit = self._fit(self.limit - remaining, reset_after_s)
        if fit is False:
            self._misfits += 1
            self._fits, self.interval_s = 0, None
        elif fit is True:
            self._fits += 1
        if self._fits >= _SURE:
            self._misfits = 0
        if self._misfits >= _MISFITS:
            return BucketForm.FIXED
        return BucketForm.LEAKY if self._fits >= _FITS else BucketForm.UNKNOWN

    def window_s(self) -> float:
        """The leaky bucket's window, rather longer than shorter: the told times are rounded."""
        told_s = (self.interval_s or 0.0) * self.limit
        whole_s = round(told_s)
        if whole_s and abs(told_s - whole_s) <= PADDING * whole_s:
            return float(whole_s)
        return told_s * (1 + PADDING)

    def _fit(self, used: int, reset_after_s: float) -> bool | None:
        """Whether the answer fits a leaky bucket; None where it tells nothing."""
        if used < 1 or reset_after_s <= 0:
            return None
        if self.interval_s is None:
            self.interval_s = reset_after_s if used == 1 else None
            return None
        tolerance = _TOLERANCE + _ROUNDING_S / self.interval_s
        units = reset_after_s / self.interval_s
        if used == 1:
            return None if abs(units - 1) <= tolerance else False
        if abs(units - (used - 1)) <= tolerance:
            return None  # it might as well be the one before, in another form
        return used - 1 < units <= used + tolerance
