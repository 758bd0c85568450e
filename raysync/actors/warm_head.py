"""Process of a warm local Ray: it owns Ray's processes, and ends them when no run needs them.

    python -m raysync.actors.warm_head STATE_FILE IDLE_S

SIGTERM ends it as soon as no run is connected; SIGUSR1 opens the dashboard.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from ray.exceptions import RayError

from raysync.actors.local_ray import LocalRay
from raysync.actors.warm_ray import StateFile, WarmHead, WarmRayUnavailableError, now
from raysync.logs import LogFormat, configure_logs
from raysync.reasons import reason_of

LOOK_S: Final = 1.0
"""Maximum seconds between two counts of the connected runs, and before a signal takes effect."""

_REMOVE: Final = """
read -r _
pkill -KILL -s "$1"
for pause in 0 1 5; do sleep $pause; rm -rf -- "$0"; done
"""
"""Script that removes a folder after this process has ended, even by SIGKILL.

It waits until its input closes. It first kills the rest of this process's session, because two
agents of Ray outlive a killed raylet by a minute.
"""


class WarmHeadProcess:
    """Life of one head: start, service, end."""

    def __init__(self, file: StateFile, idle_s: float, ray: LocalRay) -> None:
        """Take over the file, which this process must hold."""
        self._file = file
        self._idle_s = idle_s
        self._ray = ray
        self._is_leaving = False
        self._wants_dashboard = False
        self._remover: subprocess.Popen[bytes] | None = None

    def serve(self) -> None:
        """Start Ray, and return when it has ended.

        Raises:
            RuntimeError, OSError, ValueError: Ray cannot start.
        """
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGUSR1, self._ask_for_dashboard)
        self._ray.start()
        self._remover = _remover(self._ray.session_directory)
        head = WarmHead(
            os.getpid(), self._ray.address, self._ray.session_directory, now(), self._idle_s
        )
        self._file.write(head)
        try:
            self._wait(head)
        finally:
            self._ray.end()

    def _leave(self, *_: object) -> None:
        self._is_leaving = True

    def _ask_for_dashboard(self, *_: object) -> None:
        self._wants_dashboard = True

    def _wait(self, head: WarmHead) -> None:
        """Wait until no run has been connected for long enough, or Ray is gone."""
        used_s = time.monotonic()
        while True:
            time.sleep(min(LOOK_S, self._idle_s))
            if not self._ray.is_alive():
                return
            if self._wants_dashboard:
                self._wants_dashboard = False
                threading.Thread(target=self._open_dashboard, args=(head,), daemon=True).start()
            if self._is_used():
                used_s = time.monotonic()
                continue
            rest_s = 0.0 if self._is_leaving else self._idle_s
            if time.monotonic() - used_s >= rest_s and self._has_closed():
                return

    def _is_used(self) -> bool:
        """Return whether a run is connected, or may be: a busy Ray answers late."""
        try:
            return self._ray.count_drivers() > 0
        except RayError:
            return self._ray.is_alive()

    def _open_dashboard(self, head: WarmHead) -> None:
        url = self._ray.open_dashboard()
        # an empty URL says that there will be none
        self._file.write(replace(head, dashboard_url=url or ""))

    def _has_closed(self) -> bool:
        """Remove the file, unless a run is just joining; return whether it is removed."""
        with suppress(WarmRayUnavailableError), self._file.door(0):
            if not self._is_used():
                self._file.remove()  # unless another head has taken the path since
                return True
        return False


def _remover(folder: str) -> subprocess.Popen[bytes]:
    """Start the process that removes *folder* after this process, even if that is killed."""
    return subprocess.Popen(  # noqa: S603 a constant, and a folder as its argument
        ["/bin/sh", "-c", _REMOVE, folder, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def main() -> None:
    """Run a head until it is idle."""
    path, idle_s = sys.argv[1:]
    os.umask(0o077)
    with suppress(PermissionError):
        os.setsid()  # unless this process leads a session already
    configure_logs(LogFormat.TEXT, role="ray")
    file = StateFile(Path(path))
    if not file.hold():
        sys.exit("Another head holds the state file.")
    try:
        WarmHeadProcess(file, float(idle_s), LocalRay()).serve()
    except (RuntimeError, OSError, ValueError) as error:
        sys.exit(reason_of(error))


if __name__ == "__main__":
    main()
