"""Printing of the command line: results on stdout, everything else on stderr.

All output passes through this module, which escapes terminal commands in names and errors that
strangers wrote. A test refuses every other way to print.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import BinaryIO, cast

import typer
from rich import box
from rich.console import Console
from rich.segment import Segment
from rich.table import Table

from raysync.cli.output.invocation import as_invoked
from raysync.cli.output.streams import OutputStream, RawOutput, is_lost, is_unicode
from raysync.visible import ascii_json, in_json, visible

_ANSWERS = {"y": True, "yes": True, "": False, "n": False, "no": False}
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PADDING = re.compile(r" +((?:\x1b\[[0-9;]*m)*)(?=\n)")
"""Spaces at the end of a line: the padding of a table's last column."""

_NO_TERMINAL_WIDTH = 100_000
"""Width in cells where no terminal is: a pipe has no edge, so lines must not break."""


class SafeConsole(Console):
    """Console that escapes terminal commands, except its own colours and cursor moves."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Render segments to text. All text that is printed, live or captured, passes here."""
        text = super()._render_buffer(
            segment if segment.control else segment._replace(text=visible(segment.text))
            for segment in buffer
        )
        return text if self.file.isatty() else _PADDING.sub(r"\1", text)


def out() -> Console:
    """Return the console of results. It has colour on a terminal only, never with ``NO_COLOR``."""
    width = None if sys.stdout.isatty() else _NO_TERMINAL_WIDTH
    return SafeConsole(file=sys.stdout, highlight=False, emoji=False, markup=False, width=width)


def err() -> Console:
    """Return the console of progress, hints and errors."""
    return SafeConsole(file=sys.stderr, highlight=False, emoji=False, markup=False)


def say(sentence: str) -> None:
    """Print a sentence on stderr, with commands named as the user starts raysync.

    On a terminal, long sentences wrap at words.
    """
    err().print(as_invoked(sentence), soft_wrap=not sys.stderr.isatty())


def print_line(line: str, *, err: bool = False) -> None:
    """Print a line on stdout, or with *err* on stderr, and never wrap it."""
    (sys.stderr if err else sys.stdout).write(visible(f"{line}\n"))


def print_json(text: str) -> None:
    """Print JSON on stdout, with terminal commands and line separators escaped.

    Characters outside ASCII are escaped, too, where stdout cannot encode them.
    """
    sys.stdout.write((in_json(text) if is_unicode(sys.stdout) else ascii_json(text)) + "\n")


def print_output(text: str) -> None:
    """Print the output of another program on stderr, without its colours."""
    sys.stderr.write(visible(_COLOUR.sub("", text)))
    sys.stderr.flush()


def ask_yes_or_no(question: str) -> bool | None:
    """Ask on stderr for a yes, and read the answer from stdin. Return None if stderr is lost."""
    while True:
        sys.stderr.write(visible(f"{question} [y/N]: "))
        sys.stderr.flush()
        if is_lost(sys.stderr):
            return None
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError:
            line = "?"
        if not line:
            raise typer.Abort
        answer = line.strip().lower()
        if answer in _ANSWERS:
            return _ANSWERS[answer]
        say("Answer y or n.")


def raw_stdout() -> BinaryIO:
    """Return stdout as bytes, for content that is escaped already: an export, an HTML page."""
    if isinstance(sys.stdout, OutputStream):
        return cast("BinaryIO", RawOutput(sys.stdout))
    return sys.stdout.buffer


def plain_table(*headings: str) -> Table:
    """Return a table without a frame. A heading with > marks a column of figures, aligned right.

    If the table is too wide, only names of channels are cut: part of an id or a URL is useless.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
    )
    for heading in headings:
        numeric = heading.startswith(">")
        table.add_column(
            heading.removeprefix(">"),
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="ellipsis" if numeric or heading == "channel" else "fold",
        )
    return table
