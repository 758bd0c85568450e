"""Who acts, for the audit log."""

from __future__ import annotations

import getpass
import platform


def operator_name() -> str:
    """The operator as the machine knows them: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{platform.node() or 'unknown'}"
