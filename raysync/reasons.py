"""Reasons of failures in one line, from errors of other libraries that have many lines.

The first line of such an error often only announces the reason: Ray's "Version mismatch: The
cluster was started with:", a traceback, psycopg's list of addresses. Text after a database's
message is dropped, because it may quote a statement and with it what people wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

MORE_OPEN_FILES: Final = (
    "Raise the limit in this shell (ulimit -n 65536), or for the service that runs raysync."
)
"""Advice for a process that has too many open files."""

_MAX_CHARACTERS: Final = 500
_COLOUR: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])?")
"""Escape sequence of a terminal: a colour, a cursor's movement, a title."""
_QUOTES: Final = re.compile(
    r"^\s*(?:\[SQL:|\[parameters:|\(Background on this error|DETAIL:|CONTEXT:|QUERY:|STATEMENT:"
    r"|LINE \d+:)",
    re.MULTILINE,
)
"""Beginning of the part of a database's error that quotes values or statements."""
_NOISE: Final = re.compile(
    r"^\s*(?:For further information visit|Is the server running|\^+$|Multiple connection attempts)"
)
_TRACEBACK: Final = "Traceback (most recent call last):"
_FRAME: Final = re.compile(r'^\s+File "[^\n]*", line \d+.*$', re.MULTILINE)
_ATTEMPT: Final = re.compile(
    r"^- host: '?(?P<host>[^,]*?)'?, port: [^,]*, hostaddr: (?:None|'[^']*'): (?P<why>.*)$"
)
_TO_SERVER: Final = re.compile(r"connection to server (?:at|on) .*")
_RPC_DETAILS: Final = re.compile(r'^\s*details = "(.*)"$', re.MULTILINE)
_INVALID: Final = re.compile(r"^\d+ validation errors? for ")
_INPUT: Final = re.compile(r"\s*\[type=.*\]$")
_MARK: Final = re.compile(r'^\s+in ".*", (line \d+, column \d+)')
_FIELD: Final = re.compile(r"^\s+[a-z_]+: \S*$")
_OF_DATABASES: Final = ("psycopg", "sqlalchemy", "alembic")
_OF_ERROR: Final = re.compile(
    r"(?:^|[\s\]:])(?:error|fatal|panic|unexpected \w+):\s", re.IGNORECASE
)
_MORE: Final = re.compile(r"\b(?:HINT|DETAIL|hint|detail):\s")


def reason_of(error: BaseException | str) -> str:
    """Return the reason of *error* in one line, without a full stop at its end."""
    if isinstance(error, str):
        return _shortened(_reason_in(error))
    driver = getattr(error, "orig", None) or error  # SQLAlchemy wraps the driver's error
    primary = _primary_message(driver)
    text = (primary or str(driver)).strip()
    if primary or type(driver).__module__.startswith(_OF_DATABASES):
        found = "; ".join(_attempts(_harmless(text))) or _first_line(text)
    else:
        found = _reason_in(text)
    return _shortened(found) or type(error).__name__


def reason_in_output(output: str) -> str:
    """Return the reason why a program ended: its last error lines, or else its last lines."""
    if _TRACEBACK in output:
        return reason_of(output[output.rindex(_TRACEBACK) :])
    lines = [line.strip() for line in _COLOUR.sub("", output).splitlines() if line.strip()]
    errors = [at for at, line in enumerate(lines) if _OF_ERROR.search(line)]
    if not errors:
        return _shortened(" / ".join(lines[-3:]))
    last = errors[-1]
    more = [line for line in lines[last + 1 :] if _MORE.search(line)]
    return _shortened(" / ".join([lines[last], *more]))


def _primary_message(error: object) -> str | None:
    """Return the database server's main message; None for any other error."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return primary if isinstance(primary, str) and primary.strip() else None


def _harmless(text: str) -> str:
    """Cut a database's error before its first quotation."""
    quotes = _QUOTES.search(text)
    return text if quotes is None else text[: quotes.start()]


def _reason_in(text: str) -> str:
    text = _harmless(_COLOUR.sub("", text)).strip("\n ")
    frames = list(_FRAME.finditer(text))
    if frames:
        return _raised(text, frames[0].start(), frames[-1].end())
    if (details := _RPC_DETAILS.search(text)) is not None:
        return details[1]
    if _INVALID.match(text):
        return "; ".join(_invalid(text.splitlines()[1:]))
    attempts = _attempts(text)
    if len(attempts) > 1:
        return "; ".join(attempts)
    lines = [line for line in text.splitlines() if line.strip(" .\t") and not _NOISE.match(line)]
    marks = [mark[1] for line in lines if (mark := _MARK.match(line))]
    if marks:  # YAML names the position last, and the problem before it
        problems = [line for line in lines if not line[0].isspace()]
        return f"{problems[-1].strip()} ({marks[-1]})" if problems else marks[-1]
    # Ray lists the actor's ids before the cause of death
    if len(lines) > 1 and not lines[-1][0].isspace():
        lines = [line for line in lines if not _FIELD.match(line)]
    return _joined([line.strip() for line in lines])


def _raised(text: str, first_frame: int, last_frame: int) -> str:
    """Return the end of a traceback, after the text that announces the traceback."""
    rest = text[last_frame:].split("\n")[1:]
    while rest and (not rest[0].strip() or rest[0][0].isspace()):  # the frame's line of code
        del rest[0]
    head = text[:first_frame].replace(_TRACEBACK, "").strip().partition("\n")[0]
    head = re.sub(r",? ray::.*", "", head).rstrip(" .:")
    reason = _reason_in("\n".join(rest))
    return f"{head}: {reason}" if head and reason else reason or head


def _attempts(text: str) -> list[str]:
    """Return each failed address once; libpq tries every address with TLS and without."""
    found = []
    for line in text.splitlines():
        attempt = _ATTEMPT.match(line)
        why = line if attempt is None else attempt["why"]
        if (to_server := _TO_SERVER.search(why)) is not None:
            found.append(to_server[0].strip())
        elif attempt is not None:
            found.append(f"{attempt['host']}: {why}")
    once = list(dict.fromkeys(found))
    return once if len(once) > 1 else []


def _invalid(lines: list[str]) -> Iterator[str]:
    """Yield pydantic's problem with each value, without the value itself."""
    name = ""
    for line in lines:
        if line.strip() and not line[0].isspace():
            name = line.strip()
        elif line.strip() and not _NOISE.match(line):
            yield f"{name}: {_INPUT.sub('', line.strip())}"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _joined(lines: list[str]) -> str:
    """Join lines as sentences: a heading, its entries separated by commas, the next heading."""
    joined = ""
    for before, line in zip(["", *lines], lines, strict=False):
        if not joined:
            joined = line
        elif before.endswith((":", ".", ",", ";", "?", "!")):
            joined += f" {line}"
        else:
            joined += f". {line}" if line.endswith(":") else f", {line}"
    return joined


def _shortened(reason: str) -> str:
    """Return one line of bounded length; of a long text, keep the beginning and the end."""
    line = " ".join(_COLOUR.sub("", reason).split())
    if len(line) > _MAX_CHARACTERS:
        line = f"{line[: _MAX_CHARACTERS // 2].rstrip()} … {line[-_MAX_CHARACTERS // 2 :].lstrip()}"
    return line.rstrip(". ")
