"""Where and how the command line prints: results on stdout, all else on stderr."""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.table import Table

_NO_TERMINAL_WIDTH = 100_000
"""What reads a pipe has no edge at which a line would have to be broken."""


def out() -> Console:
    """The console of results. Colour only on a terminal, and never under ``NO_COLOR``."""
    width = None if sys.stdout.isatty() else _NO_TERMINAL_WIDTH
    return Console(file=sys.stdout, highlight=False, emoji=False, markup=False, width=width)


def err() -> Console:
    """The console of progress, hints and complaints."""
    return Console(file=sys.stderr, highlight=False, emoji=False, markup=False)


def say(sentence: str) -> None:
    """Tell the user something that is no result. Long sentences wrap at words, on a terminal."""
    err().print(sentence, soft_wrap=not sys.stderr.isatty())


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
