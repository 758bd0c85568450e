"""Signals that end a command cleanly."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a command: SIGTERM, and SIGHUP of a terminal that was closed.

    A SIGHUP that is ignored from the start, as by nohup, stays ignored.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return (signal.SIGTERM, signal.SIGHUP)


def call_at_end(end: Callable[[], object]) -> None:
    """Have the running loop call *end* on each of `ending_signals`."""
    for number in ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, _end, end)


def call_at_hangup(end: Callable[[], object]) -> None:
    """Have the running loop call *end* on SIGHUP, unless that is ignored."""
    if signal.SIGHUP in ending_signals():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _end, end)


def _end(end: Callable[[], object]) -> None:
    leave_closed_terminal()
    end()


def leave_closed_terminal() -> None:
    """Have what is still printed go nowhere if the terminal is gone: each write to it fails."""
    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


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
