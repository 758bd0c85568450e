"""Engines: pools of connections, and translation of the driver's errors into raysync's."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import URL, event, exc, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from raysync.errors import (
    DatabaseFullError,
    DatabaseUnavailableError,
    NotPermittedError,
    StatementTimeoutError,
    StoreUnavailableError,
)
from raysync.reasons import reason_of
from raysync.store.connection.addresses import read_address, spelled
from raysync.store.connection.sessions import (
    STATEMENT_TIMEOUT_S,
    address_for_others,
    connect,
    counting_variables,
)
from raysync.store.connection.sessions import connect_keywords as connect_keywords

Engine = AsyncEngine
"""Pool of connections, under the name that the layers above use."""
POOL_TIMEOUT_S = 30
NO_TIMEOUT: Final = text("SET LOCAL statement_timeout = 0")
"""Statement that lifts the timeout of a transaction that may read a whole archive."""

_LIMITS = "54"
"""SQLSTATE class for values that are too large or too deep. psycopg calls them operational."""
_OF_VALUES = frozenset({"21", "22", _LIMITS})
_OF_ONE_VALUE = frozenset({"23502", "XX000"})
"""A null in a NOT NULL column, and a request for more memory than PostgreSQL ever takes."""


def normalize_url(url: str) -> str:
    """Return *url* in SQLAlchemy's form, with the driver named.

    Raises:
        ConfigurationError: it is no usable PostgreSQL URL. The error repeats only its scheme and
            the names of its options.
    """
    return spelled(read_address(url))


def url_for_others(url: str) -> str:
    """Return *url* as psql and other clients read it, the password included."""
    return spelled(address_for_others(read_address(url)).set(drivername="postgresql"))


def where_is(url: str) -> str:
    """Return the database's host, port and name for messages, never the password."""
    parsed = read_address(url)
    host = parsed.host or parsed.query.get("host") or "the local socket"
    return f"{parsed.database or parsed.username} at {host}, port {parsed.port or _port(parsed)}"


def _port(parsed: URL) -> str:
    port = parsed.query.get("port", "5432")
    return port if isinstance(port, str) else ",".join(port)


def open_engine(
    url: str, *, pool_size: int, application_name: str, timeout_s: int = STATEMENT_TIMEOUT_S
) -> AsyncEngine:
    """Create an engine of at most *pool_size* connections, none of them open yet.

    *timeout_s* limits each statement.

    A connection that broke while idle is replaced at check-out, which costs one ``poll``. One that
    breaks in use raises `StoreUnavailableError`.
    """
    address = read_address(url)

    async def pooled() -> psycopg.AsyncConnection[Any]:
        connection = await connect(address, application_name, timeout_s=timeout_s)
        await connection.set_autocommit(False)  # SQLAlchemy ends transactions itself
        return connection

    engine = create_async_engine(
        address,
        hide_parameters=True,  # parameters hold users' messages
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        async_creator=pooled,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead)
    return engine


async def connect_alone(
    engine: AsyncEngine, application_name: str, *, timeout_s: int = STATEMENT_TIMEOUT_S
) -> psycopg.AsyncConnection[Any]:
    """Open a connection to the same database outside the pool, in autocommit.

    The caller closes it.
    """
    return await connect(engine.url, application_name, timeout_s=timeout_s)


def _refuse_dead(connection: Any, _record: object, _proxy: object) -> None:
    """Refuse a closed connection: an idle one is readable only if the server closed it."""
    driver = connection.driver_connection
    if driver.closed or _is_readable(driver.fileno()):
        raise exc.InvalidatePoolError("the server closed this connection")


def _is_readable(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


@contextmanager
def translated() -> Iterator[None]:
    """Translate the driver's errors. An outage becomes `StoreUnavailableError`, to be retried."""
    try:
        yield
    except (exc.DBAPIError, psycopg.Error) as error:
        denied = _cause_of(error)
        if _is_disk_full(denied):
            reason = f" ({reason_of(denied)})" if denied is not None else ""
            raise DatabaseFullError(
                f"The run stopped: the database's disk is full{reason}. Everything stored is kept. "
                "Make room on the database server, then continue with `raysync resume`."
            ) from None
        if isinstance(denied, psycopg.errors.InsufficientPrivilege):
            refusal = (
                "The database does not allow this to the role that raysync connects as: "
                f"{_sentence(denied)}"
            )
            raise NotPermittedError(
                f"{refusal} Use the tables' owner, or a role of `raysync db grant-worker`, which "
                "may run syncs and no more.",
                refusal,
            ) from None
        cause = _driver_error(error)
        if cause is None:
            raise
        if isinstance(cause, psycopg.errors.QueryCanceled):
            raise StatementTimeoutError(
                "The database ended a statement that took longer than its limit, or that somebody "
                f"cancelled ({reason_of(cause)}). It is overloaded, or another session holds a "
                "lock. Try again. The view pg_stat_activity shows what the server does."
            ) from None
        raise StoreUnavailableError(f"The database did not answer: {_sentence(cause)}") from None
    except exc.TimeoutError:
        raise StoreUnavailableError(
            f"No database connection became free within {POOL_TIMEOUT_S} s."
        ) from None
    except OSError as error:
        raise StoreUnavailableError(f"The database did not answer: {reason_of(error)}.") from None


def is_refusal(error: BaseException) -> bool:
    """Return whether *error* is about the values of a statement, and not about the server."""
    cause = _cause_of(error)
    if _is_disk_full(cause):
        return False
    if isinstance(cause, psycopg.Error):
        state = cause.sqlstate or ""
        return state[:2] in _OF_VALUES or state in _OF_ONE_VALUE
    return isinstance(cause, (TypeError, ValueError, OverflowError, RecursionError))


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Translate errors of the first contact: an outage becomes `DatabaseUnavailableError`."""
    try:
        with translated():
            yield
    except StoreUnavailableError as error:
        variables = counting_variables(read_address(url))
        counting = f" The environment applies, too: {', '.join(variables)}." if variables else ""
        raise DatabaseUnavailableError(
            f"Cannot use the database {where_is(url)}. {error} "
            f"Is it running, and is RAYSYNC_DATABASE_URL right?{counting}"
        ) from None


def _cause_of(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, exc.DBAPIError) else error


def _is_disk_full(cause: BaseException | None) -> bool:
    """Return whether the server has no room left; a quota has no code of its own."""
    if isinstance(cause, psycopg.errors.DiskFull):
        return True
    message = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return (message or "").endswith("Disk quota exceeded")


def _driver_error(error: BaseException) -> psycopg.Error | None:
    """Return the driver's error if it is about the server's state; None for a wrong statement."""
    cause = _cause_of(error)
    if isinstance(cause, psycopg.Error) and (cause.sqlstate or "").startswith(_LIMITS):
        return None
    if isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError)):
        return cause
    if isinstance(
        cause,
        psycopg.errors.IdleInTransactionSessionTimeout | psycopg.errors.ReadOnlySqlTransaction,
    ):
        return cause
    return None


def why_away(error: psycopg.Error | TimeoutError) -> str:
    """Return why the database does not answer, as a part of a sentence."""
    if isinstance(error, psycopg.Error):
        return reason_of(error).rstrip(".")
    return "it accepted a request and did not answer it in time"


def _sentence(error: psycopg.Error) -> str:
    return f"{reason_of(error)}."
