"""Tables in HTML, whose rows become cards on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from raysync.cli.output import words


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """A table; a heading that begins with > is of figures, one with = of words never broken.

    The first cell of a row is what the row is about. Roles are told since a narrow screen's
    styles would take them away.
    """
    names = [each.lstrip(">=") for each in headings]
    styles = [{">": "figure", "=": "word"}.get(each[0], "text") for each in headings]
    head = Markup("").join(
        Markup('<th scope="col" role="columnheader" class="{}">{}</th>').format(style, name)
        for style, name in zip(styles, names, strict=True)
    )
    body = Markup("").join(_row(names, styles, each) for each in rows)
    return Markup(
        '<table role="table"><caption>{}</caption><thead role="rowgroup"><tr role="row">{}</tr>'
        '</thead><tbody role="rowgroup">{}</tbody></table>'
    ).format(caption, head, body)


def _row(names: Sequence[str], styles: Sequence[str], cells: Sequence[object]) -> Markup:
    first, *rest = cells
    told = Markup('<th scope="row" role="rowheader" class="{}">{}</th>').format(styles[0], first)
    for name, style, cell in zip(names[1:], styles[1:], rest, strict=True):
        told += Markup('<td role="cell" class="{}" data-label="{}">{}</td>').format(
            style, name, cell
        )
    return Markup('<tr role="row">{}</tr>').format(told)


def code(text: str) -> Markup:
    """Something to be typed."""
    return Markup("<code>{}</code>").format(text)


def paragraph(text: object, style: str = "plain") -> Markup:
    """A paragraph of a class."""
    return Markup('<p class="{}">{}</p>').format(style, text)


def more(number: int, shown: int, what: str, command: str = "") -> Markup:
    """How many rows a table of *shown* leaves out, and the command that shows them."""
    if number <= shown:
        return Markup("")
    told = f"And {words.counted(number - shown, f'more {what}')}"
    if not command:
        return paragraph(f"{told}.", "quiet")
    return paragraph(Markup("{}: {} shows all.").format(told, code(command)), "quiet")


def section(name: str, title: str, parts: Iterable[Markup]) -> Markup:
    """A part of the page under a heading; nothing where there are no parts."""
    content = Markup("\n").join(each for each in parts if each)
    if not content:
        return Markup("")
    return Markup('<section aria-labelledby="{0}"><h2 id="{0}">{1}</h2>\n{2}\n</section>').format(
        name, title, content
    )
