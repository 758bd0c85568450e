"""The form of a route's buckets, as honest headers prove it.

A leaky bucket that holds ``used`` requests of ``limit`` says that ``limit - used`` remain, rounded
down, and that it is empty again after ``used`` times its interval. So the first request of an
empty bucket shows the interval, and each later answer must fit it. In a fixed window the time left
only falls; in a sliding log it is always the window. Neither fits for three answers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

_FITS: Final = 2
"""Number of fitting answers, of a bucket used at least twice, that prove a leaky bucket."""
_MISFITS: Final = 2
"""Number of answers that do not fit, which prove that a route is not leaky."""
_SURE: Final = 20
"""Number of fitting answers in a row that prove earlier misfits to be errors.

No other form brings so many about."""
_TOLERANCE: Final = 0.02
_ROUNDING_S: Final = 0.002
"""Rounding error in seconds: Discord rounds both of the compared times to the millisecond."""
PADDING: Final = 0.02
"""Rounding error of windows, as a part of them."""


class BucketForm(StrEnum):
    """The way in which the buckets of a route apply their limit."""

    UNKNOWN = "unknown"  #: limited so that every form is satisfied
    LEAKY = "leaky"  #: drains evenly, by one request each window / limit
    FIXED = "fixed"  #: fixed or sliding windows, or a refusal proved that it is not leaky


class FormEvidence:
    """The evidence from one route's answers about its form."""

    def __init__(self, limit: int, interval_s: float | None = None) -> None:
        """Start with *interval_s*, the time a leaky bucket drains by one in, if that is known."""
        self.limit = limit
        self.interval_s = interval_s
        self._fits = _FITS if interval_s is not None else 0
        self._misfits = 0

    def note(self, remaining: int, reset_after_s: float) -> BucketForm:
        """Add one answer; return the form to believe in now."""
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
        """Return the leaky bucket's window, rounded up since the times in headers are rounded."""
        shown_s = (self.interval_s or 0.0) * self.limit
        whole_s = round(shown_s)
        if whole_s and abs(shown_s - whole_s) <= PADDING * whole_s:
            return float(whole_s)
        return shown_s * (1 + PADDING)

    def _fit(self, used: int, reset_after_s: float) -> bool | None:
        """Return whether the answer fits a leaky bucket; None where it proves nothing."""
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
