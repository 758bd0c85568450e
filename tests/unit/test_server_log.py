"""Which line of the embedded server's log says why it stopped."""

from __future__ import annotations

import pytest

from raysync.store.server.server_log import fatal_line, tells_full_disk, tells_stop_request

AT = "2026-11-30 14:03:12.345 UTC [4711] "
READY = f"{AT}LOG:  database system is ready to accept connections"
PANIC = f'{AT}PANIC:  could not write to file "pg_wal/xlogtemp.4711": No space left on device'
CRASHED = f"{AT}FATAL:  terminating connection because of crash of another server process"
STARTING = f"{AT}FATAL:  the database system is in recovery mode"
NO_FILE = f'{AT}FATAL:  could not open file "global/pg_control": Permission denied'


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], None),
        ([READY], None),
        (
            [READY, PANIC, CRASHED, STARTING],
            'PANIC: could not write to file "pg_wal/xlogtemp.4711": No space left on device',
        ),
        (
            [CRASHED, NO_FILE, STARTING],
            'FATAL: could not open file "global/pg_control": Permission denied',
        ),
        ([STARTING, CRASHED], f"FATAL: {CRASHED.partition('FATAL:  ')[2]}"),
        ([f"{AT}ERROR:  somebody wrote FATAL: x"], None),
        (["FATAL:  could not create lock file"], "FATAL: could not create lock file"),
    ],
)
def test_a_panic_counts_then_a_cause_then_a_consequence(lines: list[str], told: str | None) -> None:
    assert fatal_line(lines) == told


def test_a_full_disk_and_a_stop_are_told_apart() -> None:
    stop = [f"{AT}LOG:  received fast shutdown request"]

    assert (tells_full_disk([READY, PANIC]), tells_stop_request([READY, PANIC])) == (True, False)
    assert (tells_full_disk(stop), tells_stop_request(stop)) == (False, True)
    assert tells_full_disk([f"{AT}FATAL:  could not extend file: Disk quota exceeded"])
    assert not tells_stop_request([f"{AT}LOG:  received immediate shutdown request"])
