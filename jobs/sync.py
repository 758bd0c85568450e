"""Sync one tenant, several, or all: `ray job submit … -- python jobs/sync.py takaro`."""

from __future__ import annotations

import argparse
import sys

from raysync.__main__ import main


def arguments() -> list[str]:
    """What this job's command line means to `raysync start`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tenants", nargs="*", metavar="SLUG", help="none: every active tenant")
    parser.add_argument("--full", action="store_true", help="read everything again")
    given = parser.parse_args()
    chosen = [f"--tenant={slug}" for slug in given.tenants]
    return ["start", *chosen, *(["--full"] if given.full else [])]


if __name__ == "__main__":
    sys.argv[1:] = arguments()
    main()
