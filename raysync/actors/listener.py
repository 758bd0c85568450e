"""Check that a server listens, before Ray's clients would wait minutes for it."""

from __future__ import annotations

import socket

TIMEOUT_S = 10.0


def reason_unreachable(host: str, port: int) -> str | None:
    """Return why no connection to *host* is possible; None where one is."""
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_S).close()
    except (OSError, OverflowError) as error:  # OverflowError: no port has this number
        return getattr(error, "strerror", None) or "no answer"
    return None
