"""Everything that a database holds, as text: what is not in it is not stored."""

from __future__ import annotations

import psycopg
from psycopg import sql

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"


def dumped(url: str) -> dict[str, str]:
    """By table, its rows as COPY writes them."""
    with psycopg.connect(url, client_encoding="UTF8") as session:
        tables = [name for (name,) in session.execute(_TABLES)]
        return {each: _copied(session, each) for each in tables}


def _copied(session: psycopg.Connection, table: str) -> str:
    statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
    with session.cursor() as cursor, cursor.copy(statement) as copy:
        return b"".join(bytes(each) for each in copy).decode()


def tables_with(url: str, needle: str) -> set[str]:
    """Where *needle* is found."""
    return {table for table, text in dumped(url).items() if needle in text}
