"""Probe of a node that may lack raysync. It is pickled by value, so it imports no raysync."""

from __future__ import annotations


def raysync_here() -> tuple[str | None, str]:
    """Return the version of raysync on this machine; None with a reason where there is none."""
    try:
        from raysync import __version__  # here, because this import is the probe
    except Exception as error:  # noqa: BLE001 the user learns of any failure
        return None, f"{type(error).__name__}: {error}"
    return __version__, ""
