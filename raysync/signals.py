"""Signals that end a command cleanly."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a command: SIGTERM, and SIGHUP of a terminal that was closed.

    A SIGHUP that is ignored from the start, as by nohup, stays ignored.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Put the handlers back at the end. A loop that closes leaves the default action instead."""
    before = {each: signal.getsignal(each) for each in ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: not installed from Python
                signal.signal(number, handler)


@contextmanager
def hangups_blocked() -> Iterator[None]:
    """Block SIGHUP in what this thread starts, for good; in this thread until the end.

    A closed terminal sends it to all processes below the command, which is to end them itself.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
