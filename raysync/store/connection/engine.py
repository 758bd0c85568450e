"""Opening a database, and telling its errors in our words."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL, event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from raysync.errors import (
    DatabaseFullError,
    DatabaseUnavailableError,
    NotPermittedError,
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
"""A pool of connections, as the layers above hand it on."""
POOL_TIMEOUT_S = 30

_LIMITS = "54"
"""The class of errors over what is too large or too deep: psycopg calls them operational."""
_OF_VALUES = frozenset({"21", "22", _LIMITS})
_OF_ONE_VALUE = frozenset({"23502", "XX000"})
"""A null where there must be none; and what PostgreSQL says of more memory than it ever takes."""


def normalize_url(url: str) -> str:
    """*url* as SQLAlchemy needs it, its driver named.

    Raises:
        ConfigurationError: not a PostgreSQL URL that can be used; nothing of it is repeated but
            its scheme and the names of its options.
    """
    return spelled(read_address(url))


def url_for_others(url: str) -> str:
    """Return *url* as psql and other clients read it, the password included."""
    return spelled(address_for_others(read_address(url)).set(drivername="postgresql"))


def where_is(url: str) -> str:
    """The database's host, port and name, for people: never the password."""
    parsed = read_address(url)
    host = parsed.host or parsed.query.get("host") or "the local socket"
    return f"{parsed.database or parsed.username} at {host}, port {parsed.port or _port(parsed)}"


def _port(parsed: URL) -> str:
    port = parsed.query.get("port", "5432")
    return port if isinstance(port, str) else ",".join(port)


def open_engine(url: str, *, pool_size: int, application_name: str) -> AsyncEngine:
    """An engine of at most *pool_size* connections, none of them open yet.

    A connection that died while idle is replaced when it is asked for, at the price of one
    ``poll``; one that dies in use shows as `StoreUnavailableError`.
    """
    address = read_address(url)

    async def pooled() -> psycopg.AsyncConnection[Any]:
        connection = await connect(address, application_name)
        await connection.set_autocommit(False)  # SQLAlchemy ends transactions itself
        return connection

    engine = create_async_engine(
        address,
        hide_parameters=True,  # they hold what people wrote
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
    """A connection to the same database, beside the pool, in autocommit; the caller closes it."""
    return await connect(engine.url, application_name, timeout_s=timeout_s)


def _refuse_dead(connection: Any, _record: object, _proxy: object) -> None:
    """Nothing is sent to an idle connection, so one that can be read from has been closed."""
    driver = connection.driver_connection
    if driver.closed or _is_readable(driver.fileno()):
        raise exc.InvalidatePoolError("the server closed this connection")


def _is_readable(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


@contextmanager
def translated() -> Iterator[None]:
    """In mid-run: a database that went away is a `StoreUnavailableError`, to be tried again."""
    try:
        yield
    except (exc.DBAPIError, psycopg.Error) as error:
        if _is_disk_full(_cause_of(error)):
            raise DatabaseFullError(
                "The database's disk is full, so the run was ended; what was stored stays. Make "
                "room there, then go on with it by `raysync resume`."
            ) from None
        denied = _cause_of(error)
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
        raise StoreUnavailableError(f"The database did not answer: {_sentence(cause)}") from None
    except exc.TimeoutError:
        raise StoreUnavailableError(
            f"No database connection came free within {POOL_TIMEOUT_S} s."
        ) from None
    except OSError as error:
        raise StoreUnavailableError(f"The database did not answer: {reason_of(error)}.") from None


def is_refusal(error: BaseException) -> bool:
    """Whether *error* is about the values that were to be written, and not about the server."""
    cause = _cause_of(error)
    if _is_disk_full(cause):
        return False
    if isinstance(cause, psycopg.Error):
        state = cause.sqlstate or ""
        return state[:2] in _OF_VALUES or state in _OF_ONE_VALUE
    return isinstance(cause, (TypeError, ValueError, OverflowError, RecursionError))


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """At the first contact: a database that is not there is a `DatabaseUnavailableError`."""
    try:
        with translated():
            yield
    except StoreUnavailableError as error:
        variables = counting_variables(read_address(url))
        counting = f" The environment counts, too: {', '.join(variables)}." if variables else ""
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
    """The driver's error, if it tells of the server's state and not of a wrong statement."""
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
