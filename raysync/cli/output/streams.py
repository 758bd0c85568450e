"""Standard streams that fail no command by themselves: lost, full, closed, or of a poor encoding.

A sync of hours ends with its own exit code, whoever reads its result. So writing raises nothing
where a command does work. Where its output is all that a command is for, a stdout that takes no
more is an error, and a reader who has left ends the command.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TextIO, cast

from raysync.errors import RaysyncError
from raysync.visible import escaped

_ERRORS: Final = "raysync.stand_in"
_STAND_INS: Final = {
    **dict.fromkeys("‐‑‒–—−", "-"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("━─═", "-"),
    **dict.fromkeys("│┃║", "|"),
    **dict.fromkeys("█▉▊▋", "#"),
    **dict.fromkeys("▌▍▎▏", "-"),
    **dict(zip("▁▂▃▄▅▆▇", "_.:-=+*", strict=True)),  # heights of a sparkline, below the #
    "\N{NO-BREAK SPACE}": " ",
    "…": "...",
    "→": "->",
    "←": "<-",
    "·": "-",
    "•": "*",
    "×": "x",
    "✓": "ok",
    "✗": "x",
}
"""What raysync prints for the eye, in ASCII. Names are escaped, for they must be told apart."""


class StdoutError(RaysyncError):
    """stdout does not take what is the command's only product."""


class ReaderGoneError(StdoutError):
    """Nobody reads the output any more. No failure: whoever read it has had enough."""


class OutputStream(io.TextIOBase):
    """Text stream over stdout or stderr that keeps the first error instead of raising it.

    It writes at once, and has no attribute ``buffer``: click would take the bytes below for a
    way around an ASCII encoding.
    """

    def __init__(
        self, below: TextIO | None, name: str, say: Callable[[str], None] | None = None
    ) -> None:
        """*say* is told of a loss that is not raised."""
        self.name = name
        self.loss: OSError | None = None  #: why the stream takes nothing any more
        self.is_needed = False  #: whether a loss is raised: the output is all that is wanted
        self._below = below
        self._say = say
        self._encoding = getattr(below, "encoding", None) or "utf-8"
        self._encoder = codecs.getincrementalencoder(self._encoding)(_ERRORS)
        self._bytes: Any = None
        if below is not None:
            with suppress(OSError, ValueError):
                below.flush()
            beneath = below.buffer
            self._bytes = getattr(beneath, "raw", beneath)  # nothing stays in a buffer at the end

    @property
    def encoding(self) -> str:  # type: ignore[override] # an attribute in typeshed
        """Encoding of what is written."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override] # an attribute in typeshed
        """Name of the handler for characters that the encoding lacks."""
        return _ERRORS

    def write(self, text: str, /) -> int:
        """Write *text*, with stand-ins for what the encoding lacks.

        Raises:
            StdoutError: the stream takes nothing, and `is_needed`.
        """
        if not isinstance(text, str):  # click looks whether bytes can be written
            raise TypeError("a text stream takes text")
        if text:
            self.write_bytes(self._encoder.encode(text))
        return len(text)

    def write_bytes(self, block: bytes) -> int:
        """Write *block* as it is. Raises like `write`."""
        if self.loss is None:
            try:
                self._put(memoryview(block))
            except (OSError, ValueError) as error:  # ValueError: somebody closed the file
                self._lose(error)
        if self.loss is not None and self.is_needed:
            kind = ReaderGoneError if self.loss.errno == errno.EPIPE else StdoutError
            raise kind(f"Cannot write to {self.name}: {self.loss.strerror}.")
        return len(block)

    def _put(self, rest: memoryview) -> None:
        if self._bytes is None:
            raise OSError(errno.EBADF, "it is closed")
        while rest:
            written = self._bytes.write(rest)
            if written is None:  # it does not block, and another program left it so
                select.select([], [self._bytes], [])
            else:
                rest = rest[written:]
        self._bytes.flush()

    def _lose(self, error: OSError | ValueError) -> None:
        is_known = isinstance(error, OSError) and error.errno is not None
        self.loss = cast("OSError", error) if is_known else OSError(errno.EBADF, "it is closed")
        if not self.is_needed and self._say is not None:
            self._say(
                f"Not all of the result can be shown: {self.name} takes no more "
                f"({self.loss.strerror}). The exit code is that of the work."
            )

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return whether a terminal is below."""
        try:
            return self._below is not None and self._below.isatty()
        except ValueError:  # somebody closed it
            return False

    def fileno(self) -> int:
        """Return the descriptor below, where there is one."""
        if self._below is None:
            raise io.UnsupportedOperation("fileno")
        return self._below.fileno()


class RawOutput(io.RawIOBase):
    """The bytes below an `OutputStream`, with its way of failing."""

    def __init__(self, stream: OutputStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, block: Any, /) -> int:
        """Write all of *block*."""
        return self._stream.write_bytes(bytes(block))


@contextmanager
def guarded_streams(say: Callable[[str], None]) -> Iterator[None]:
    """Have stdout and stderr be streams that fail no command, and stdin be open.

    *say* tells on stderr what stdout did not take, where that is not raised. Streams of the process
    stay so to its end, when Python flushes them once more.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _fill_closed_descriptors()
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 for the process's life
    before = sys.stdout, sys.stderr
    is_of_process = before == (sys.__stdout__, sys.__stderr__)
    if not isinstance(sys.stderr, OutputStream):
        sys.stderr = OutputStream(sys.stderr, "stderr")
    stdout = sys.stdout
    if not isinstance(stdout, OutputStream):
        stdout = OutputStream(sys.stdout, "stdout", say)
        sys.stdout = stdout
    stdout.is_needed = True
    try:
        yield
    finally:
        if not is_of_process:
            sys.stdout, sys.stderr = before


def _fill_closed_descriptors() -> None:
    """Open the null device as each standard descriptor that is closed.

    The next file or connection would become that descriptor, and be written to by children.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)  # inheritable, also where it is the same
            if opened != number:
                os.close(opened)
            else:
                os.set_inheritable(number, True)


def keep_exit_code() -> None:
    """Leave the exit code to the command's work, whatever becomes of stdout."""
    if isinstance(sys.stdout, OutputStream):
        sys.stdout.is_needed = False


def is_unicode(stream: TextIO) -> bool:
    """Return whether *stream* takes every character."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")


def is_lost(stream: TextIO) -> bool:
    """Return whether what is written to *stream* goes nowhere."""
    return isinstance(stream, OutputStream) and stream.loss is not None


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks: by its look where that is the point, else by an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_STAND_INS.get(each) or escaped(each) for each in lacking), error.end


codecs.register_error(_ERRORS, _stand_in)
