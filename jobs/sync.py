"""Sync one tenant or several: `ray job submit … -- python jobs/sync.py takaro`.

Options of `raysync start` may follow, as in `python jobs/sync.py takaro --full`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raysync.__main__ import main


def arguments(given: Sequence[str]) -> list[str]:
    """Return raysync's arguments for this job; words before the first option are tenants."""
    options = next((n for n, word in enumerate(given) if word.startswith("-")), len(given))
    if options == 0:
        raise SystemExit(
            "Name a tenant, as in `python jobs/sync.py takaro`. For all tenants: jobs/sync_all.py"
        )
    return ["start", *(f"--tenant={slug}" for slug in given[:options]), *given[options:]]


if __name__ == "__main__":
    sys.argv[1:] = arguments(sys.argv[1:])
    main()
