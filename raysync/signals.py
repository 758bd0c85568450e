"""Signals that end a command cleanly: SIGTERM, and SIGHUP of a closed terminal."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a command: SIGTERM and, unless ignored, SIGHUP.

    A SIGHUP that is ignored from the start, as by nohup, stays ignored.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return (signal.SIGTERM, signal.SIGHUP)


def call_at_end(end: Callable[[], object]) -> None:
    """Install *end* in the running loop as the handler of each of `ending_signals`."""
    for number in ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, _end, end)


def call_at_hangup(end: Callable[[], object]) -> None:
    """Install *end* in the running loop as the handler of SIGHUP, unless SIGHUP is ignored."""
    if signal.SIGHUP in ending_signals():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _end, end)


def _end(end: Callable[[], object]) -> None:
    leave_closed_terminal()
    end()


def leave_closed_terminal() -> None:
    """Redirect output to the null device if the terminal is gone, where each write would fail."""
    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Restore the signal handlers at the end; a closing loop would leave the default actions."""
    before = {number: signal.getsignal(number) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: installed by C code, and cannot be restored
                signal.signal(number, handler)


@contextmanager
def hangups_blocked() -> Iterator[None]:
    """Block SIGHUP in this thread until the end, and for good in processes that it starts.

    A closed terminal sends SIGHUP to all child processes; but the command must end them itself.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
