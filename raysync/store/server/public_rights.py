"""Rights that PostgreSQL grants to PUBLIC and an analyst should not have.

They cannot be revoked from one role, only from PUBLIC, by the database's owner or a superuser. So
they are revoked if the database is raysync's own. If other roles own tables in it, they may depend
on these rights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

_Connection = psycopg.AsyncConnection[TupleRow]
_Session = psycopg.Connection[TupleRow]


@dataclass(frozen=True, slots=True)
class PublicRight:
    """Right that every role has through PUBLIC."""

    what: str  #: the action it allows, as words after "may"
    revoked_by: LiteralString  #: statement
    had: LiteralString  #: SQL condition: the role %(role)s has it


CREATING: Final = PublicRight(
    "create tables and functions among raysync's own, in the schema public",
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    "has_schema_privilege(%(role)s, 'public', 'CREATE')",
)
"""The right that makes a role unfit: others could run its functions in place of PostgreSQL's."""
_OTHERS: Final = (
    PublicRight(
        "make temporary tables and functions",
        "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
        "has_database_privilege(%(role)s, current_database(), 'TEMPORARY')",
    ),
    PublicRight(
        "store large objects",
        "REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), "
        "pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC",
        "EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace"
        " AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea')"
        " AND has_function_privilege(%(role)s, p.oid, 'EXECUTE'))",
    ),
    PublicRight(
        "run programs in plpgsql",
        "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC",
        "has_language_privilege(%(role)s, 'plpgsql', 'USAGE')",
    ),
)
RIGHTS: Final = (CREATING, *_OTHERS)

_STRANGERS: Final = """
SELECT DISTINCT pg_get_userbyid(c.relowner)::text FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
    AND c.relowner <> (SELECT relowner FROM pg_class WHERE oid = 'public.tenants'::regclass)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
        AND d.objid = c.oid AND d.deptype = 'e')
"""
"""Other owners of tables in this database. Extensions' tables do not count."""
_NAMES: Final = """
SELECT current_database()::text, pg_get_userbyid(relowner)::text
FROM pg_class WHERE oid = 'public.tenants'::regclass
"""
_HAD: Final[LiteralString] = "SELECT " + ", ".join(right.had for right in RIGHTS)


def statement_of(right: PublicRight, database: str) -> str:
    """Return the statement that revokes *right* from PUBLIC."""
    return sql.SQL(right.revoked_by).format(database=sql.Identifier(database)).as_string()


async def revoke_from_public(connection: _Connection) -> None:
    """Revoke from PUBLIC what an analyst should not have, as far as the connected role can."""
    strangers = await (await connection.execute(_STRANGERS)).fetchall()
    names = await (await connection.execute(_NAMES)).fetchone()
    for statement in _statements(names, is_shared=bool(strangers)):
        try:
            async with connection.transaction():
                await connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            continue


def revoke_from_public_now(session: _Session) -> None:
    """Revoke the same synchronously."""
    strangers = session.execute(_STRANGERS).fetchall()
    names = session.execute(_NAMES).fetchone()
    for statement in _statements(names, is_shared=bool(strangers)):
        try:
            with session.transaction():
                session.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            continue


def _statements(names: TupleRow | None, *, is_shared: bool) -> Iterator[str]:
    if names is None:
        return
    database, owner = names
    if not is_shared:
        keep = sql.SQL("GRANT USAGE ON LANGUAGE plpgsql TO {}")  # migrations make functions
        yield keep.format(sql.Identifier(owner)).as_string()
    for right in (CREATING,) if is_shared else RIGHTS:
        yield statement_of(right, database)


async def rights_left(connection: _Connection, role: str) -> list[tuple[PublicRight, str]]:
    """Return the rights that *role* still has, each with the statement against it."""
    had = await (await connection.execute(_HAD, {"role": role})).fetchone()
    names = await (await connection.execute(_NAMES)).fetchone()
    if had is None or names is None:
        return []
    return [
        (right, statement_of(right, names[0]))
        for right, has in zip(RIGHTS, had, strict=True)
        if has
    ]
