"""Sync all active tenants concurrently: `ray job submit … -- python jobs/sync_all.py`.

Options of `raysync start` may follow, as in `python jobs/sync_all.py --workers 20`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raysync.__main__ import main


def arguments(given: Sequence[str]) -> list[str]:
    """Return raysync's arguments for this job."""
    return ["start", *given]


if __name__ == "__main__":
    sys.argv[1:] = arguments(sys.argv[1:])
    main()
