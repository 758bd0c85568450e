"""Standard streams that do not fail a command when they are full, closed or cannot encode.

A sync of hours ends with its own exit code, even if its result cannot be printed. So writing raises
nothing in a command that does work. In a command whose only product is its output, a stdout that
accepts no more data is an error, and a reader that closes the pipe ends the command.
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

_ERRORS: Final = "raysync.replacement"
_REPLACEMENTS: Final = {
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
"""ASCII replacements of raysync's own symbols. Names are escaped, so that they stay distinct."""


class StdoutError(RaysyncError):
    """stdout does not accept the output, which is the command's only product."""


class ReaderGoneError(StdoutError):
    """The reader closed the pipe. This is no failure: it has read enough."""


class OutputStream(io.TextIOBase):
    """Text stream over stdout or stderr that keeps the first error instead of raising it.

    It does not buffer. It has no attribute ``buffer``, because click would use its bytes to get
    around an ASCII encoding.
    """

    def __init__(
        self, below: TextIO | None, name: str, say: Callable[[str], None] | None = None
    ) -> None:
        """*say* prints a loss that is not raised."""
        self.name = name
        self.loss: OSError | None = None  #: error since which the stream accepts nothing
        self.is_needed = False  #: raise a loss, because the output is the only product
        self._below = below
        self._say = say
        self._encoding = getattr(below, "encoding", None) or "utf-8"
        self._encoder = codecs.getincrementalencoder(self._encoding)(_ERRORS)
        self._bytes: Any = None
        if below is not None:
            with suppress(OSError, ValueError):
                below.flush()
            beneath = below.buffer
            self._bytes = getattr(beneath, "raw", beneath)  # unbuffered, so nothing is lost at exit

    @property
    def encoding(self) -> str:  # type: ignore[override] # an attribute in typeshed
        """Encoding of what is written."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override] # an attribute in typeshed
        """Name of the handler for characters that the encoding lacks."""
        return _ERRORS

    def write(self, text: str, /) -> int:
        """Write *text*, with replacements for characters that the encoding lacks.

        Raises:
            StdoutError: the stream accepts nothing, and `is_needed`.
        """
        if not isinstance(text, str):  # click tests whether bytes are accepted
            raise TypeError("a text stream takes text")
        if text:
            self.write_bytes(self._encoder.encode(text))
        return len(text)

    def write_bytes(self, block: bytes) -> int:
        """Write *block* as it is. Raises like `write`."""
        if self.loss is None:
            try:
                self._put(memoryview(block))
            except (OSError, ValueError) as error:  # ValueError: the file was closed
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
            if written is None:  # another program made it non-blocking
                select.select([], [self._bytes], [])
            else:
                rest = rest[written:]
        self._bytes.flush()

    def _lose(self, error: OSError | ValueError) -> None:
        is_known = isinstance(error, OSError) and error.errno is not None
        self.loss = cast("OSError", error) if is_known else OSError(errno.EBADF, "it is closed")
        if not self.is_needed and self._say is not None:
            self._say(
                f"The result is not shown completely: {self.name} accepts no more data "
                f"({self.loss.strerror}). The exit code is still that of the command's work."
            )

    def flush(self) -> None:
        """Do nothing, because nothing is buffered."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return whether a terminal is below."""
        try:
            return self._below is not None and self._below.isatty()
        except ValueError:  # it was closed
            return False

    def fileno(self) -> int:
        """Return the descriptor below, where there is one."""
        if self._below is None:
            raise io.UnsupportedOperation("fileno")
        return self._below.fileno()


class RawOutput(io.RawIOBase):
    """Byte stream of an `OutputStream`, with the same error handling."""

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
    """Replace stdout and stderr by streams that fail no command, and open a closed stdin.

    *say* prints a loss of stdout on stderr, if the loss is not raised. The process's own streams
    stay replaced until its end, when Python flushes them once more.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _fill_closed_descriptors()
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 open for the life of the process
    before = sys.stdout, sys.stderr
    is_process_stream = before == (sys.__stdout__, sys.__stderr__)
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
        if not is_process_stream:
            sys.stdout, sys.stderr = before


def _fill_closed_descriptors() -> None:
    """Open the null device as each standard descriptor that is closed.

    Otherwise the next file or connection gets that descriptor, and child processes write to it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)  # inheritable, even if both are the same
            if opened != number:
                os.close(opened)
            else:
                os.set_inheritable(number, True)


def keep_exit_code() -> None:
    """Keep the exit code of the command's work, even if stdout fails."""
    if isinstance(sys.stdout, OutputStream):
        sys.stdout.is_needed = False


def is_unicode(stream: TextIO) -> bool:
    """Return whether *stream* can encode every character."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")


def is_lost(stream: TextIO) -> bool:
    """Return whether *stream* has failed, so that its output goes nowhere."""
    return isinstance(stream, OutputStream) and stream.loss is not None


def _replacement(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks: symbols by a similar one, others by an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_REPLACEMENTS.get(char) or escaped(char) for char in lacking), error.end


codecs.register_error(_ERRORS, _replacement)
