"""Generator of the command reference in docs/cli.md, from the Typer app; `make docs` runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

from raysync.cli.app import app

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
BEGIN = "<!-- Generated from the program's help by `make docs`. Do not edit by hand. -->\n"
END = "<!-- End of the generated part. -->\n"

_PARAGRAPHS = re.compile(r"\n\s*\n")
_TAGS = re.compile(r"  +(?=\[)")
_PLAIN_TYPE = re.compile(r" <(?:list\[)?str\]?>$")


class Leaf(NamedTuple):
    """A command that does something, with its words and its click object."""

    words: str
    command: Any


def with_reference(page: str) -> str:
    """Return *page* with the part between the two marks written anew."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} lacks the marks of the generated part")
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def reference() -> str:
    """Return the reference in Markdown: an index, then each command with its options."""
    program = typer.main.get_command(app)
    leaves = [leaf for leaf in leaves_of(program, "raysync") if not leaf.command.hidden]
    index = [row(f"[`{leaf.words}`](#{anchor(leaf.words)})", summary(leaf)) for leaf in leaves]
    parts = [table(("command", "what it does"), index), *(section(leaf) for leaf in leaves)]
    return "\n".join(parts)


def leaves_of(command: Any, words: str) -> Iterator[Leaf]:
    """Yield the commands below *command* in the order of the program's help."""
    if not hasattr(command, "commands"):
        yield Leaf(words, command)
        return
    for name, below in command.commands.items():
        yield from leaves_of(below, f"{words} {name}")


def section(leaf: Leaf) -> str:
    """Return the heading, the help text and the options of one command."""
    context = typer.Context(leaf.command, info_name=leaf.words)
    records = [
        (_PLAIN_TYPE.sub("", record[0].strip()), _TAGS.sub(" ", record[1]))
        for param in leaf.command.get_params(context)
        if "--help" not in param.opts and (record := param.get_help_record(context))
    ]
    rows = [row(f"`{name}`", text) for name, text in records]
    parts = [f"### {leaf.words}\n", *(f"{paragraph}\n" for paragraph in paragraphs(leaf))]
    return "\n".join([*parts, table(("option", "meaning"), rows)] if rows else parts)


def paragraphs(leaf: Leaf) -> list[str]:
    """Return the paragraphs of a command's help text, a line each."""
    return [" ".join(text.split()) for text in _PARAGRAPHS.split(leaf.command.help or "")]


def summary(leaf: Leaf) -> str:
    """Return the first paragraph of a command's help text."""
    return paragraphs(leaf)[0]


def table(head: tuple[str, str], rows: list[str]) -> str:
    """Return a table of two columns."""
    return "\n".join([row(*head), "|---|---|", *rows, ""])


def row(*cells: str) -> str:
    """Return a row of a table, with the cells' vertical bars escaped."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def anchor(heading: str) -> str:
    """Return the fragment under which GitHub finds a heading."""
    return heading.replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(with_reference(PAGE.read_text()))
