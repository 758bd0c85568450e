"""Program ``python -m raysync.cli.exit_with_parent``: raysync, ended when its parent ends.

The parent holds the other end of the pipe that is stdin. The pipe closes however the parent dies,
so no process of a demo or a schedule outlives it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from raysync.cli.app import app


def _end_with_parent() -> None:
    # os.read, not sys.stdin: its buffer has a lock, and a thread that waits in it aborts the
    # interpreter at exit
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    app(prog_name="raysync")
