"""Catch up on every active tenant: `ray job submit … -- python jobs/nightly.py`.

Reads new messages, and the last seven days again to find edits. You may run it at any time: a
tenant with a running job is refused. Options of `raysync start` may follow, as in
`python jobs/nightly.py --reconcile-requests 500`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raysync.__main__ import main

NIGHTLY = ("--lookback=7d",)


def arguments(given: Sequence[str]) -> list[str]:
    """Return raysync's arguments for this job; given options take precedence."""
    nightly = () if "--full" in given else NIGHTLY  # a full run needs no lookback
    return ["start", *nightly, *given]


if __name__ == "__main__":
    sys.argv[1:] = arguments(sys.argv[1:])
    main()
