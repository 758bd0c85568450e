"""Jinja2 environment of the report's templates, which escapes every value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from raysync.cli.output import words


@dataclass(frozen=True, slots=True)
class Cell:
    """Table cell that is more than text."""

    text: str = ""
    swatch: str = ""  #: style of a coloured square before the text, without ``key-``
    code: str = ""  #: command or route after the text, in monospace


Row = tuple[str | Cell, ...]


def render(template: str, **values: object) -> Markup:
    """Render ``templates/<template>.html``. Raise UndefinedError for a missing value."""
    return Markup(_environment().get_template(f"{template}.html").render(values))  # noqa: S704


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=words.count,
        counted=words.counted,
        seconds=words.seconds,
        minute=minute,
        second=second,
        ms_per=_ms_per,
    )
    return environment


def _printable(value: object) -> object:
    """Remove control characters from a string that is not markup.

    Strangers choose the names of channels, and servers choose the texts of errors.
    """
    if isinstance(value, str) and not isinstance(value, Markup):
        return words.printable(value)
    return value


def minute(moment: datetime) -> str:
    """Format *moment* to the minute."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def second(moment: datetime) -> str:
    """Format *moment* to the second."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _ms_per(total_s: float, number: int) -> str:
    """Format the mean of *number* events that took *total_s* together, in milliseconds."""
    return f"{1000 * total_s / max(number, 1):,.1f} ms"
