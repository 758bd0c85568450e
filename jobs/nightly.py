"""Catch up on every active tenant: `ray job submit … -- python jobs/nightly.py`.

Reads what is new, and the last seven days again for edits. Run it as often as you like: a tenant
whose job still runs is refused, not doubled. Options of `raysync start` may follow, as in
`python jobs/nightly.py --reconcile-requests 500`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raysync.__main__ import main

NIGHTLY = ("--lookback=7d",)


def arguments(given: Sequence[str]) -> list[str]:
    """What this job's command line means to raysync; what is given counts more."""
    nightly = () if "--full" in given else NIGHTLY  # which reads everything, and looks back nowhere
    return ["start", *nightly, *given]


if __name__ == "__main__":
    sys.argv[1:] = arguments(sys.argv[1:])
    main()
