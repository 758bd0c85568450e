"""Name of the operator, for the audit log."""

from __future__ import annotations

import getpass
import platform


def operator_name() -> str:
    """Return the operating system's user and host: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        user = "unknown"
    return f"{user}@{platform.node() or 'unknown'}"
