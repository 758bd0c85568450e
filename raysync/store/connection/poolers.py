"""Detection of connection poolers that do not keep sessions.

A pooler in session mode works. In transaction mode each transaction may run on another server
connection: session settings then reach strangers instead of the statements that rely on them, and
prepared statements are missing where they are executed. Repeating the settings in every
transaction would cost a round trip each, so such a pooler is refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from raysync.errors import ConfigurationError

PROOF_S: Final = 10.0
"""Longest wait in seconds for a notification, which takes milliseconds."""
_MARK: Final = "SELECT pg_backend_pid(), set_config('raysync.session', %s, false)"
_READ_MARK: Final = "SELECT pg_backend_pid(), current_setting('raysync.session', true)"
_REMOVE_MARK: Final = "SELECT set_config('raysync.session', '', false)"

_Connection = psycopg.Connection[TupleRow]


def require_sessions(connection: _Connection, another: Callable[[], _Connection]) -> None:
    """Prove that *connection* is one session of the server for as long as it lives.

    A server tells a client its backend's process id for cancellation. A pooler has to tell another
    number, because it cancels on whatever server connection is in use. If the number is the
    backend's, there is no pooler.

    Otherwise *another* connection reads a mark that this one left in its session, inside a
    transaction, and notifies this one. If it sees the mark, both share a session. If the
    notification reaches this connection while it is idle, the session is its own. Without this
    proof the pooler is refused.

    Raises:
        ConfigurationError: a pooler is in between, and it does not keep sessions.
    """
    backend = connection.execute("SELECT pg_backend_pid()").fetchone()
    if backend == (connection.info.backend_pid,):
        return
    mark = uuid.uuid4().hex
    channel = sql.Identifier(f"raysync_{mark}")
    own = connection.execute(_MARK, (mark,)).fetchone()
    connection.execute(sql.SQL("LISTEN {}").format(channel))
    try:
        with another() as other, other.transaction():
            is_shared = other.execute(_READ_MARK).fetchone() == own
            if is_shared:  # leave the session to its next user as it was
                other.execute(_REMOVE_MARK)
                other.execute(sql.SQL("UNLISTEN {}").format(channel))
            else:
                other.execute(sql.SQL("NOTIFY {}").format(channel))
    except psycopg.errors.ProtocolViolation:  # pool_mode = statement refuses transactions
        raise _refusal(connection) from None
    if is_shared or not list(connection.notifies(timeout=PROOF_S, stop_after=1)):
        raise _refusal(connection)
    connection.execute(sql.SQL("UNLISTEN {}").format(channel))


def _refusal(connection: _Connection) -> ConfigurationError:
    where = f"{connection.info.dbname} at {connection.info.host}, port {connection.info.port}"
    return ConfigurationError(
        f"A connection pooler is in front of the database {where}, and it does not keep sessions: "
        "settings and prepared statements would be lost between transactions. Set it to pool "
        "sessions (pgbouncer: pool_mode = session), or connect to PostgreSQL directly."
    )
