"""Catch up on every active tenant: `ray job submit … -- python jobs/nightly.py`.

Reads what is new, and the last seven days again for edits. Run it as often as you like: a tenant
whose job still runs is refused, not doubled.
"""

from __future__ import annotations

import sys

from raysync.__main__ import main

if __name__ == "__main__":
    sys.argv[1:] = ["start", "--incremental", "--lookback=7d"]
    main()
