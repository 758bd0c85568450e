"""Database sessions that depend on no preset of others.

A role, a database, a server and the environment can each preset how a session behaves. Every
connection therefore sets what raysync's statements rely on before its first use, and refuses a
database that cannot hold UTF-8. It sets them by a statement, because poolers refuse start-up
options.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.rows import TupleRow
from sqlalchemy import URL

from raysync.errors import ConfigurationError
from raysync.reasons import reason_of
from raysync.store.connection.addresses import LOOKS_LIKE, read_address

Connection = psycopg.AsyncConnection[TupleRow]

CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 60
"""Limit of one statement. A sync's take milliseconds: one that reaches it would wait for ever."""

EMBEDDED_DATABASE: Final = "raysync"
_MARK: Final = ("fallback_application_name", "raysync-embedded")
"""Query parameter that marks the embedded server's URL. libpq knows it, and it changes nothing."""

_KEEPALIVE: Final[Mapping[str, Any]] = {
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,  # milliseconds: a peer that vanished is noticed within them
}

_TEXT: Final[Mapping[str, str]] = {
    "client_encoding": "UTF8",
    "search_path": "public, pg_temp",  # pg_temp is searched first unless it is named
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "gin_fuzzy_search_limit": "0",  # otherwise an index returns a part of the rows
    "client_min_messages": "warning",
}
"""Settings that decide how values are written and read, and what names mean."""
_TRANSACTIONS: Final[Mapping[str, str]] = {
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "row_security": "on",  # off makes a worker's statements fail
    "exit_on_error": "off",
}
"""Settings that decide what a transaction sees, and what ends it."""
_PLANS: Final[Mapping[str, str]] = {
    "plan_cache_mode": "auto",
    "jit": "off",  # compiling a page's statement takes longer than running it
    "geqo": "on",
    "from_collapse_limit": "8",
    "join_collapse_limit": "8",
    **dict.fromkeys(
        (
            "enable_bitmapscan",
            "enable_hashagg",
            "enable_hashjoin",
            "enable_indexonlyscan",
            "enable_indexscan",
            "enable_material",
            "enable_memoize",
            "enable_mergejoin",
            "enable_nestloop",
            "enable_seqscan",
            "enable_sort",
            "enable_tidscan",
        ),
        "on",
    ),
}
"""Planner switches: without an index, a page of a large archive exceeds any timeout."""
_SINCE: Final[Mapping[str, int]] = {
    "jit": 11_00_00,
    "plan_cache_mode": 12_00_00,
    "idle_session_timeout": 14_00_00,
    "enable_memoize": 14_00_00,
    "transaction_timeout": 17_00_00,
}
"""Server versions that introduced settings, as servers number themselves."""

# Only `origin` fires triggers and checks foreign keys; only a superuser may set it. With
# synchronous_commit off, a crash could bring back what was erased. Its other values say how far
# standbys are waited for, which is the administrator's choice.
_CONDITIONAL: Final = (
    "CASE current_setting('session_replication_role') WHEN 'origin' THEN '' "
    "ELSE set_config('session_replication_role', 'origin', false) END, "
    "CASE current_setting('synchronous_commit') WHEN 'off' "
    "THEN set_config('synchronous_commit', 'on', false) END"
)
_LIBPQ_VARIABLE: Final = re.compile(r"PG[A-Z]+")
_WITHOUT_KEYWORD: Final = ("PGTZ", "PGDATESTYLE", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR")
"""Variables that libpq reads and `Conninfo.get_defaults` does not list."""
_SHOWN: Final = frozenset({"PGSERVICE", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER"})
"""Variables whose values are shown in errors: no secrets, and they tell where libpq connected."""


def embedded_address(address: str) -> str:
    """Mark *address* as the embedded server's own database."""
    return f"{address}&{_MARK[0]}={_MARK[1]}"


def address_for_others(url: URL) -> URL:
    """Return *url* without the mark: other clients might send it to the server as a setting."""
    return url.difference_update_query([_MARK[0]]) if is_embedded(url) else url


def is_embedded(url: URL) -> bool:
    """Return whether *url* is the embedded server's own. Another database there is a user's."""
    name, value = _MARK
    return url.query.get(name) == value and url.database == EMBEDDED_DATABASE


def connect_keywords(url: URL) -> dict[str, Any]:
    """Return *url* as libpq's keywords, the password included.

    By keyword, because libpq repeats a URL that it cannot parse.
    """
    query = {
        name: value if isinstance(value, str) else ",".join(value)
        for name, value in url.query.items()
    }
    return {**url.translate_connect_args(username="user", database="dbname"), **query}


def counting_variables(url: URL) -> list[str]:
    """Return the environment's variables that apply to *url*, some of them with their values."""
    if is_embedded(url):
        return []
    given = connect_keywords(url).keys() | {
        "connect_timeout",
        "application_name",
        "client_encoding",
    }
    known = _keywords_by_variable().items()
    names = [name for name, keyword in known if keyword not in given]
    return [
        f"{name} ({os.environ[name]})" if name in _SHOWN else name
        for name in (*names, *_WITHOUT_KEYWORD)
        if os.environ.get(name)
    ]


async def connect(
    url: URL | str, application_name: str, *, timeout_s: int = STATEMENT_TIMEOUT_S
) -> Connection:
    """Open a connection in autocommit and prepare its session. The caller closes it.

    *timeout_s* limits each statement, and each wait of an open transaction for the next one.
    0 means no limit.

    Raises:
        psycopg.Error: the server cannot be reached.
        ConfigurationError: its database cannot be used, or the URL cannot be read.
    """
    with _readable():
        connection = await psycopg.AsyncConnection.connect(
            autocommit=True, **_keywords(_address(url), application_name)
        )
    try:
        _require_utf8(connection.info)
        with _permitted(connection.info):
            # a pooler may have no free server connection
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await connection.execute(_preparation(connection.info.server_version, timeout_s))
    except TimeoutError:
        await connection.close()
        raise psycopg.OperationalError(
            f"it accepted a connection and did not answer within {CONNECT_TIMEOUT_S} s"
        ) from None
    except BaseException:
        await connection.close()
        raise
    return connection


def connect_now(
    url: URL | str,
    application_name: str,
    *,
    timeout_s: int = STATEMENT_TIMEOUT_S,
    at_first: Callable[[psycopg.Connection[TupleRow]], None] = lambda _: None,
) -> psycopg.Connection[TupleRow]:
    """Open a connection like `connect`, but synchronously.

    *at_first* gets the connection before its session is changed.
    """
    connection = open_unprepared(url, application_name)
    try:
        _require_utf8(connection.info)
        at_first(connection)
        with _permitted(connection.info):
            connection.execute(_preparation(connection.info.server_version, timeout_s))
    except BaseException:
        connection.close()
        raise
    return connection


def open_unprepared(url: URL | str, application_name: str) -> psycopg.Connection[TupleRow]:
    """Open a connection in autocommit and leave its session as the server presets it."""
    with _readable():
        return psycopg.connect(autocommit=True, **_keywords(_address(url), application_name))


def _address(url: URL | str) -> URL:
    return read_address(url) if isinstance(url, str) else url


def _keywords(url: URL, application_name: str) -> dict[str, Any]:
    own = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": application_name,
        "client_encoding": "UTF8",
        **_KEEPALIVE,
    }
    if is_embedded(url):
        _remove_variables()
        own["passfile"] = os.devnull + "/none"  # libpq warns about a ~/.pgpass open to others
    return {**connect_keywords(url), **own}


def _remove_variables() -> None:
    """Remove libpq's variables from this process's environment.

    libpq takes from the environment whatever a URL lacks, and the embedded server's URL must be
    enough. Keywords cannot override all variables: libpq looks up an empty ``service``, and PGTZ
    has no keyword. The name's pattern covers variables that a later libpq reads.
    """
    for name in [name for name in os.environ if _LIBPQ_VARIABLE.fullmatch(name)]:
        del os.environ[name]
    for name in _keywords_by_variable():
        os.environ.pop(name, None)


def _keywords_by_variable() -> dict[str, str]:
    return {
        option.envvar.decode(): option.keyword.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar is not None
    }


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (psycopg.ProgrammingError, UnicodeError) as error:
        raise ConfigurationError(
            f"The database URL cannot be used: {reason_of(error)}. It looks like {LOOKS_LIKE}."
        ) from None


@contextmanager
def _permitted(info: psycopg.ConnectionInfo) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege:  # only one of the settings takes a superuser
        raise ConfigurationError(
            f"The role {info.user} has session_replication_role preset, which turns triggers and "
            "foreign keys off, and may not change it. Have a superuser run  ALTER ROLE … RESET "
            "session_replication_role  (or ALTER DATABASE …)."
        ) from None


def _require_utf8(info: psycopg.ConnectionInfo) -> None:
    encoding = info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The database {info.dbname} has the encoding {encoding}, which cannot hold what "
            "people write in Discord. Create a database that can, and use that one: CREATE "
            "DATABASE archive ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0."
        )


def _preparation(server_version: int, timeout_s: int) -> str:
    """Return the statements that prepare a session, for one round trip.

    The timeout comes first, since a preset one could end the rest. Then comes what the last client
    of a pooler left behind.
    """
    limits = {"idle_in_transaction_session_timeout": f"{timeout_s}s"}
    calls = [
        f"set_config('{name}', '{value}', false)"
        for name, value in {**limits, **_TEXT, **_TRANSACTIONS, **_PLANS}.items()
        if server_version >= _SINCE.get(name, 0)
    ]
    return (
        f"SET statement_timeout = '{timeout_s}s'; DEALLOCATE ALL; DISCARD TEMP; "
        f"SELECT {', '.join(calls)}, {_CONDITIONAL}"
    )
