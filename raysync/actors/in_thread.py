"""Start of a local Ray in a thread, beside the event loop that plans the run."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Final

from raysync.actors.runtime import RayRuntime, connect

_LOGGER: Final = "ray._private.worker"
_EXPECTED: Final = "SIGTERM handler is not set"


def connect_in_thread(home: Path, *, hidden: Collection[str]) -> RayRuntime:
    """Start a local Ray; see `connect`. The main thread keeps its signal handlers meanwhile.

    Ray warns that it installs no handler of SIGTERM outside the main thread, which is what
    raysync wants. Its C++ part does replace the handler, and calls the former one after a dump of
    its stack: install handlers again once this has returned.
    """
    logger = logging.getLogger(_LOGGER)
    logger.addFilter(_is_news)
    try:
        return connect(None, home, hidden=hidden)
    finally:
        logger.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_EXPECTED)
