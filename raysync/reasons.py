"""Why something failed, in one line, of errors that others raise in many.

The first line of such an error often only announces the reason: Ray's "Version mismatch: The
cluster was started with:", a traceback, psycopg's list of addresses. What follows a database's
message is dropped, since it may quote a statement with what people wrote in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

MORE_OPEN_FILES: Final = (
    "Raise the limit in this shell (ulimit -n 65536), or for the service that runs raysync."
)
"""What to do where a process has too many open files."""

_MOST: Final = 500
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_QUOTES: Final = re.compile(
    r"^\s*(?:\[SQL:|\[parameters:|\(Background on this error|DETAIL:|CONTEXT:|QUERY:|STATEMENT:"
    r"|LINE \d+:)",
    re.MULTILINE,
)
"""Where a database's error begins to quote values or statements."""
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
    """Return why *error* was raised, in one line without a full stop at its end."""
    if isinstance(error, str):
        return _shortened(_reason_in(error))
    driver = getattr(error, "orig", None) or error  # what SQLAlchemy's errors wrap
    primary = _primary_message(driver)
    text = (primary or str(driver)).strip()
    if primary or type(driver).__module__.startswith(_OF_DATABASES):
        found = "; ".join(_attempts(_harmless(text))) or _first_line(text)
    else:
        found = _reason_in(text)
    return _shortened(found) or type(error).__name__


def reason_in_output(output: str) -> str:
    """Return why a program ended, of all that it wrote: its lines of errors, or else its end."""
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
    """Return the server's main message; None of an error that is not a server's."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return primary if isinstance(primary, str) and primary.strip() else None


def _harmless(text: str) -> str:
    """Drop what a database's error quotes, and all behind it."""
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
    if marks:  # YAML: where, and what was being read before what is wrong
        told = [line for line in lines if not line[0].isspace()]
        return f"{told[-1].strip()} ({marks[-1]})" if told else marks[-1]
    if len(lines) > 1 and not lines[-1][0].isspace():  # the actor's ids, before why it died
        lines = [line for line in lines if not _FIELD.match(line)]
    return _joined([line.strip() for line in lines])


def _raised(text: str, first_frame: int, last_frame: int) -> str:
    """What a traceback ends with, after what announced it."""
    rest = text[last_frame:].split("\n")[1:]
    while rest and (not rest[0].strip() or rest[0][0].isspace()):  # the frame's line of code
        del rest[0]
    head = text[:first_frame].replace(_TRACEBACK, "").strip().partition("\n")[0]
    head = re.sub(r",? ray::.*", "", head).rstrip(" .:")
    reason = _reason_in("\n".join(rest))
    return f"{head}: {reason}" if head and reason else reason or head


def _attempts(text: str) -> list[str]:
    """Each way to a server that failed, once: libpq tries every address, with TLS and without."""
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
    """What is wrong with each value, by pydantic; the values are not repeated."""
    name = ""
    for line in lines:
        if line.strip() and not line[0].isspace():
            name = line.strip()
        elif line.strip() and not _NOISE.match(line):
            yield f"{name}: {_INPUT.sub('', line.strip())}"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _joined(lines: list[str]) -> str:
    """Lines as sentences: a heading, its entries with commas between, the next heading."""
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
    """One line of bounded length; of what is too long the end stays, which says why."""
    line = " ".join(reason.split())
    if len(line) > _MOST:
        line = f"{line[: _MOST // 2].rstrip()} … {line[-_MOST // 2 :].lstrip()}"
    return line.rstrip(". ")
