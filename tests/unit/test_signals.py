"""SIGHUP ends what SIGTERM ends, unless it is ignored from the start, as under nohup."""

from __future__ import annotations

import signal
import subprocess
import sys

from raysync.signals import ending_signals, handlers_restored, hangups_blocked

_BLOCKED = "import signal; print(signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, set()))"


def blocked_in_a_child() -> bool:
    command = [sys.executable, "-c", _BLOCKED]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    assert signal.SIGHUP in ending_signals()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert ending_signals() == (signal.SIGTERM,)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_of_a_caller_are_put_back() -> None:
    before = [signal.getsignal(each) for each in ending_signals()]
    with handlers_restored():
        for each in ending_signals():
            signal.signal(each, lambda *_: None)

    assert [signal.getsignal(each) for each in ending_signals()] == before


def test_what_is_started_meanwhile_gets_no_hangup() -> None:
    with hangups_blocked():
        assert blocked_in_a_child()
    assert not blocked_in_a_child()


_AFTER_A_HANGUP = """
import os, pty, sys
from raysync.signals import leave_closed_terminal
terminal, ours = pty.openpty()
os.dup2(ours, 2)
os.close(ours)
os.close(terminal)
leave_closed_terminal()
os.write(2, b"to nobody")
print("a pipe goes on")
"""


def test_after_a_hangup_what_is_printed_fails_no_more() -> None:
    command = [sys.executable, "-c", _AFTER_A_HANGUP]
    done = subprocess.run(command, stdout=-1, text=True, check=True)

    assert done.stdout == "a pipe goes on\n"
