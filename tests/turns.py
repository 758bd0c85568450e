"""Turns of tests that run in two processes: a test marked `alone` runs beside no other.

Such a test holds raysync to Discord's limits in real time. Another test beside it can take the
processor for longer than the reserve that raysync keeps for late requests.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait for a turn, and hold it until the end of the block.

    Whoever waits for the room holds the door. So no test enters while one waits to be alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "door").open("a") as door, (folder / "room").open("a") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield
