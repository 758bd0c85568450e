"""Asks whether a vulnerability is known of any version in constraints.txt. Run by `make audit`.

Ends with 1 where one is known. Where the service that knows cannot be reached, nothing is learned,
and nothing fails: that is said, and CI of a connected machine is where it counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (
    "uvx", "--quiet", "pip-audit", "--requirement", "constraints.txt", "--no-deps",
    "--disable-pip", "--progress-spinner", "off", "--timeout", "10", "--format", "json",
)  # fmt: skip
WITHIN_S = 180
UNREACHABLE = "Vulnerabilities: not looked up, for the service that knows them cannot be reached."


def findings() -> list[dict[str, Any]] | None:
    """The packages of which something is known; None where nobody could be asked."""
    try:
        done = subprocess.run(
            COMMAND, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
        packages = json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        return None
    return [each for each in packages if each.get("vulns")]


def main() -> int:
    """Print what is known, a line each; the exit code."""
    found = findings()
    if found is None:
        print(UNREACHABLE)
        return 0
    for package in found:
        for each in package["vulns"]:
            mended = ", ".join(each.get("fix_versions") or ()) or "no version yet"
            print(f"{package['name']} {package['version']}: {each['id']}, mended by {mended}")
    print(f"Vulnerabilities: {sum(len(each['vulns']) for each in found)} known.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
