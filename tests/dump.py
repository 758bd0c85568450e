"""Dump of a whole database as text, to prove that something is not stored."""

from __future__ import annotations

import psycopg
from psycopg import sql

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"


def dumped(url: str) -> dict[str, str]:
    """Return each table's rows as COPY writes them."""
    with psycopg.connect(url, client_encoding="UTF8") as session:
        tables = [name for (name,) in session.execute(_TABLES)]
        return {table: _copied(session, table) for table in tables}


def _copied(session: psycopg.Connection, table: str) -> str:
    statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
    with session.cursor() as cursor, cursor.copy(statement) as copy:
        return b"".join(bytes(block) for block in copy).decode()


def tables_with(url: str, needle: str) -> set[str]:
    """Return the tables that contain *needle*."""
    return {table for table, text in dumped(url).items() if needle in text}
