"""Where and how the command line prints: results on stdout, all else on stderr.

Whatever is printed passes here, for here it loses what commands a terminal: names and errors that
strangers wrote. A test refuses every other way out.
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

from raysync.cli.output.streams import OutputStream, RawOutput, is_lost, is_unicode
from raysync.visible import ascii_json, in_json, visible

_ANSWERS = {"y": True, "yes": True, "": False, "n": False, "no": False}
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PADDING = re.compile(r" +((?:\x1b\[[0-9;]*m)*)(?=\n)")
"""Spaces at the end of a line, which tables pad their last column with."""

_NO_TERMINAL_WIDTH = 100_000
"""What reads a pipe has no edge at which a line would have to be broken."""


class SafeConsole(Console):
    """A console that escapes what commands a terminal, but for its own colours and cursor."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Make text of segments: everything that is printed, shown live or captured is here."""
        text = super()._render_buffer(
            each if each.control else each._replace(text=visible(each.text)) for each in buffer
        )
        return text if self.file.isatty() else _PADDING.sub(r"\1", text)


def out() -> Console:
    """The console of results. Colour only on a terminal, and never under ``NO_COLOR``."""
    width = None if sys.stdout.isatty() else _NO_TERMINAL_WIDTH
    return SafeConsole(file=sys.stdout, highlight=False, emoji=False, markup=False, width=width)


def err() -> Console:
    """The console of progress, hints and complaints."""
    return SafeConsole(file=sys.stderr, highlight=False, emoji=False, markup=False)


def say(sentence: str) -> None:
    """Tell the user something that is no result. Long sentences wrap at words, on a terminal."""
    err().print(sentence, soft_wrap=not sys.stderr.isatty())


def tell(line: str, *, err: bool = False) -> None:
    """Print a line for whoever reads lines, as it is: never wrapped."""
    (sys.stderr if err else sys.stdout).write(visible(f"{line}\n"))


def tell_json(text: str) -> None:
    """Print JSON on stdout. What a terminal or a reader of lines would obey is escaped in it.

    So is all that is not ASCII where stdout cannot take it.
    """
    sys.stdout.write((in_json(text) if is_unicode(sys.stdout) else ascii_json(text)) + "\n")


def pass_on(text: str) -> None:
    """Print on stderr what another program prints, as it comes, without its colours."""
    sys.stderr.write(visible(_COLOUR.sub("", text)))
    sys.stderr.flush()


def confirmed(question: str) -> bool | None:
    """Ask on stderr for a yes, and read the answer from stdin. None where nobody can be asked."""
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
    """Where bytes go that were made safe where they were made: an export, a page."""
    if isinstance(sys.stdout, OutputStream):
        return cast("BinaryIO", RawOutput(sys.stdout))
    return sys.stdout.buffer


def plain_table(*headings: str) -> Table:
    """A table without a frame; a heading that begins with > is of figures, and aligned so.

    Of what does not fit, channels' names alone are cut: part of an id or an address is no use.
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
