"""Database URLs: parsed as libpq parses them, checked before anything connects, and formatted.

Errors never repeat a URL, because a password may be anywhere in a misread one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from psycopg import pq
from sqlalchemy import URL

from raysync.errors import ConfigurationError

LOOKS_LIKE: Final = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"

_ACCEPTED: Final = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
_DRIVER: Final = "postgresql+psycopg"
_MAX_PORT: Final = 65_535
_PARTS: Final = re.compile(
    r"""
    (?P<scheme>[\w+.-]+)://
    (?:(?P<username>[^:/]*)(?::(?P<password>[^@]*))?@)?
    (?:\[(?P<ipv6>[^/?\]]*)\]|(?P<host>[^/:?]*))
    (?::(?P<port>[^/?]*))?
    (?:/(?P<database>[^?]*))?
    (?:\?(?P<query>.*))?
    """,
    re.VERBOSE | re.DOTALL,
)
_UNENCODED: Final = (
    "The database URL cannot be read: its user name or password seems to hold characters that "
    "must be percent-encoded (@ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25). "
    "`python3 -c \"import urllib.parse as u; print(u.quote(input(), safe=''))\"` encodes a "
    "password."
)
_NO_TEXT: Final = (
    f"The database URL cannot be read: it contains bytes that are not UTF-8. Use {LOOKS_LIKE}."
)


def read_address(url: str) -> URL:
    """Return *url* in its parts, its driver named.

    Raises:
        ConfigurationError: it is no PostgreSQL URL that can be used. Nothing of it is repeated but
            its scheme and the names of its options.
    """
    text = url.strip()
    _require_text(text)
    found = _PARTS.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"The database URL cannot be read. Use {LOOKS_LIKE}.")
    if found["scheme"] not in _ACCEPTED:
        raise ConfigurationError(
            f"raysync keeps its data in PostgreSQL: the database URL must begin with "
            f"postgresql://, not {found['scheme']}://."
        )
    host = found["ipv6"] or found["host"] or None
    if any("@" in (part or "") for part in (host, found["port"], found["database"])):
        raise ConfigurationError(_UNENCODED)
    port = _port(found["port"])
    query = _options(found["query"] or "")
    host = None if host is None else unquote(host)
    if host is not None and host.startswith("/"):  # a socket's folder, which is no host's name
        query.setdefault("host", []).insert(0, host)
        host = None
    username, password, database = (
        None if found[part] is None else unquote(found[part])
        for part in ("username", "password", "database")
    )
    options = {name: ",".join(values) for name, values in query.items()}  # libpq's lists
    if any("\x00" in (part or "") for part in (username, password, database, *options.values())):
        raise ConfigurationError(_NO_TEXT)
    return URL.create(_DRIVER, username, password, host, port, database, options)


def spelled(url: URL) -> str:
    """Return *url* as text that libpq and SQLAlchemy read alike, the password included."""
    login = ""
    if url.username is not None:
        password = "" if url.password is None else f":{quote(str(url.password), safe='')}"
        login = f"{quote(url.username, safe='')}{password}@"
    host = url.host or ""
    host = f"[{quote(host, safe=':')}]" if ":" in host else quote(host, safe="")
    port = "" if url.port is None else f":{url.port}"
    database = "" if url.database is None else f"/{quote(url.database, safe='')}"
    pairs = [f"{quote(name, safe='')}={quote(value, safe='/')}" for name, value in _pairs(url)]
    query = f"?{'&'.join(pairs)}" if pairs else ""
    return f"{url.drivername}://{login}{host}{port}{database}{query}"


def _pairs(url: URL) -> Iterator[tuple[str, str]]:
    """Yield the options. One that is given several times is a list to libpq, with commas."""
    for name in sorted(url.query):
        value = url.query[name]
        yield name, value if isinstance(value, str) else ",".join(value)


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if not _is_port(text):
        raise ConfigurationError(
            f"The database URL's port must be a number from 1 to {_MAX_PORT}. Use {LOOKS_LIKE}; "
            "in a password, write : as %3A and / as %2F."
        )
    return int(text)


def _is_port(text: str) -> bool:
    digits = text.strip()
    return digits.isascii() and digits.isdigit() and 0 < int(digits[:9]) <= _MAX_PORT


def _options(query: str) -> dict[str, list[str]]:
    """Return the options after the question mark, by name. Raises ConfigurationError."""
    pieces = [piece for piece in query.split("&") if piece]
    options: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if value:
            options.setdefault(name, []).append(value)
    unknown = [
        name for name, _ in parse_qsl(query, keep_blank_values=True) if name not in _known_options()
    ]
    lacking = [piece for piece in pieces if "=" not in piece]
    if (unknown or lacking) and "@" in query:
        raise ConfigurationError(_UNENCODED)
    if unknown:
        close = get_close_matches(unknown[0], sorted(_known_options()), n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise ConfigurationError(
            f"The database URL has an option that PostgreSQL does not know: {unknown[0]!r}.{meant}"
        )
    if lacking:
        raise ConfigurationError(
            f"The database URL's option {lacking[0]!r} has no value: options are given as "
            "?NAME=VALUE&NAME=VALUE."
        )
    for ports in options.get("port", ()):
        if not all(_is_port(port) for port in ports.split(",") if port):
            _port("?")
    return options


@cache
def _known_options() -> frozenset[str]:
    return frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())


def _require_text(url: str) -> None:
    """Refuse a URL that is no UTF-8 or holds half a surrogate pair."""
    try:
        unquote(url, errors="strict").encode()
    except UnicodeError:
        raise ConfigurationError(_NO_TEXT) from None
