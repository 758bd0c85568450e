"""Verify that a tenant's archive is complete: `ray job submit … -- python jobs/verify.py takaro`.

Options of `raysync verify` may follow, as in `python jobs/verify.py takaro --repair`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from raysync.__main__ import main


def arguments(given: Sequence[str]) -> list[str]:
    """Return raysync's arguments for this job."""
    if not given or given[0].startswith("-"):
        raise SystemExit("Name a tenant, as in `python jobs/verify.py takaro`.")
    return ["verify", f"--tenant={given[0]}", *given[1:]]


if __name__ == "__main__":
    sys.argv[1:] = arguments(sys.argv[1:])
    main()
