"""``python -m raysync.cli.exit_with_parent``: raysync for as long as whoever holds our stdin lives.

The pipe breaks however its holder dies, so that no process of a demo outlives it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from raysync.cli.app import app


def _end_with_holder() -> None:
    # Python's own buffer has a lock: a thread that waits in it aborts the interpreter at its end
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_holder, daemon=True).start()
    app(prog_name="raysync")
