"""Tuning of Python's cyclic garbage collector for a worker."""

from __future__ import annotations

import gc
from typing import Final

_COLLECT_AFTER: Final = 10_000
"""Objects that may outlive the last collection before the next one; Python's default is 700.

A parsed page has about 2,000. By default each page is thus searched three times for cycles, of
which it has none: that took 10 % of a worker's CPU. Reference counts free pages at once.
"""


def collect_rarely() -> None:
    """Collect cycles only after many objects outlived their references, in the whole process."""
    gc.set_threshold(_COLLECT_AFTER)
