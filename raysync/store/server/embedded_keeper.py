"""Restart of the embedded server while a run needs it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from raysync.errors import DatabaseFullError, RaysyncError, ServerDiskFullError
from raysync.models.outage import ServerState
from raysync.store.server.embedded import (
    embedded_log,
    embedded_process_lives,
    start_embedded,
    stop_embedded,
)
from raysync.store.server.server_log import (
    end_of,
    fatal_line,
    is_full,
    lines_since,
    tells_full_disk,
    tells_stop_request,
)

STOPPED: Final = "it was stopped on purpose, as by `raysync db stop`"
_READY: Final = "database system is ready to accept connections"


class ServerKeeper:
    """Restarter of one home's server.

    A server that somebody stopped on purpose stays stopped: its files may be about to be copied.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._log = embedded_log(home)
        self._seen = end_of(self._log)

    def answered(self) -> None:
        """Note that the server answers: what its log said before explains no later outage."""
        self._seen = end_of(self._log)

    def revive(self) -> ServerState:
        """Start the server unless its process lives, and say why it stopped.

        Raises:
            DatabaseFullError: its disk is full.
            DatabaseUnavailableError: it cannot be started for another reason.
        """
        lines = lines_since(self._log, self._seen)
        reason = fatal_line(lines)
        if not embedded_process_lives(self._home):
            if tells_stop_request(_after_last_start(lines)):
                return ServerState(STOPPED, is_stopped=True)
            if is_full(self._log.parent):  # where the log could not be written either
                raise self._full(reason)
            try:
                start_embedded(self._home)
            except ServerDiskFullError:
                raise self._full(reason) from None
        if tells_full_disk(line for line in lines if fatal_line([line])):
            self._stop_stuck(lines)
            raise self._full(reason)  # if it has recovered, it fails again at the next write
        return ServerState(reason)

    def _stop_stuck(self, lines: list[str]) -> None:
        """Stop a server that has not recovered, else nothing could be started in its place.

        PostgreSQL 18 does not always notice that its own recovery has failed, and then neither
        ends nor answers, whatever room is made.
        """
        if not any(_READY in line for line in _after_last_fatal(lines)):
            with suppress(RaysyncError):
                stop_embedded(self._home, "immediate")

    def _full(self, reason: str | None) -> DatabaseFullError:
        return DatabaseFullError(
            f"The run stopped: the database's disk is full{f' ({reason})' if reason else ''}. "
            f"Everything stored is kept. Make room under {self._log.parent}, then continue with "
            "`raysync start` or `raysync resume`."
        )


def _after_last_fatal(lines: list[str]) -> list[str]:
    fatal = [number for number, line in enumerate(lines) if tells_full_disk([line])]
    return lines[fatal[-1] :] if fatal else lines


def _after_last_start(lines: list[str]) -> list[str]:
    starts = [number for number, line in enumerate(lines) if _READY in line]
    return lines[starts[-1] :] if starts else lines
