"""A question to a node that may have no raysync. It is sent whole, so it imports nothing of it."""

from __future__ import annotations


def raysync_here() -> tuple[str | None, str]:
    """Return the version of raysync on this machine; None, and why, where there is none."""
    try:
        from raysync import __version__  # here: the node is asked whether it can
    except Exception as error:  # noqa: BLE001 whatever it is, the user is told
        return None, f"{type(error).__name__}: {error}"
    return __version__, ""
