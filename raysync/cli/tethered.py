"""``python -m raysync.cli.tethered``: raysync for as long as whoever holds our stdin lives.

The pipe breaks however its holder dies, so that no process of a demo outlives it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from raysync.cli.app import app


def _end_with_holder() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not by Python's buffer, whose lock a thread would hold
        pass  # at the interpreter's end, which aborts it
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_holder, daemon=True).start()
    app(prog_name="raysync")
