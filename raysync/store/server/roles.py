"""Roles of the database beside its owner: who is one, and how a role becomes one.

A role is bound by its name, which only an administrator of the server can give, and by membership:
whoever is a member of a bound role sees what that role sees. No password passes through here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ConfigurationError, NotPermittedError, RaysyncError
from raysync.models.entities import Tenant
from raysync.store.connection.engine import connect_alone, translated
from raysync.store.server.privileges import (
    WORKER_POLICY,
    analyst_grants,
    analyst_limits,
    login_role,
    revocations,
    worker_grants,
    worker_policies,
)
from raysync.store.server.public_rights import (
    CREATING,
    revoke_from_public,
    revoke_from_public_now,
    rights_left,
)

_Connection = psycopg.AsyncConnection[TupleRow]
_MAX_NAME_BYTES: Final = 63
_RESERVED: Final = frozenset({"public", "none", "current_user", "current_role", "session_user"})
_LOCK_WAIT: Final = "SET LOCAL lock_timeout = '60s'"
"""Policies are changed under a lock that waits for a run's statements, none of which is long."""

_OWN: Final = """
SELECT r.rolsuper OR r.rolbypassrls OR r.rolcreaterole
    OR pg_has_role(r.oid, (SELECT relowner FROM pg_class WHERE oid = 'tenants'::regclass), 'MEMBER')
FROM pg_roles r WHERE r.rolname = %s
"""
_WORKERS: Final[LiteralString] = """
SELECT DISTINCT unnest(roles)::text FROM pg_policies WHERE schemaname = 'public' AND policyname = %s
"""
_IS_WORKER: Final = text(f"""
SELECT EXISTS (
    SELECT FROM pg_policies p CROSS JOIN unnest(p.roles) AS of (role)
    WHERE p.schemaname = 'public' AND p.policyname = '{WORKER_POLICY}' AND of.role <> 'public'
        AND pg_has_role(current_user, of.role, 'MEMBER'))
""")  # noqa: S608 of constants
_BOUND: Final = """
SELECT t.slug FROM tenant_roles b JOIN tenants t ON t.id = b.tenant_id WHERE b.role = %s
"""
_BINDINGS: Final[LiteralString] = """
SELECT b.role FROM tenant_roles b JOIN pg_roles r ON r.rolname = b.role
"""

_SEES_BINDINGS: Final = "SELECT has_table_privilege('tenant_roles', 'SELECT')"


@dataclass(frozen=True, slots=True)
class Granted:
    """What was done."""

    created: bool  #: the role is new, and has no password yet
    left: tuple[tuple[str, str], ...] = ()
    """What it still may do and should not, each with an administrator's statement against it."""


class RoleStore:
    """Grants and revokes; for the owner of the tables."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def grant_analyst(self, role: str, tenant: Tenant) -> Granted:
        """Let *role* read the rows of *tenant*, and no others. Harmless when repeated.

        Raises:
            ConfigurationError: the role cannot be one that sees a single tenant, or it is another
                tenant's, or it does not exist and the owner may not create it, or it could put
                functions of its own among raysync's.
        """
        async with self._changing(role) as connection:
            if role in await _workers(connection):
                raise ConfigurationError(
                    f"The role {role} is a worker's, which sees all tenants: choose another, or "
                    f"take that from it first (`raysync db revoke-worker --role {role}`)."
                )
            bound = await _bound_to(connection, role)
            if bound not in (None, tenant.slug):
                raise ConfigurationError(
                    f"The role {role} is bound to the tenant {bound}, and a role sees one: choose "
                    f"another, or `raysync db revoke-analyst --tenant {bound} --role {role}`."
                )
            created = await _ensure(connection, role)
            await connection.execute(
                "INSERT INTO tenant_roles (role, tenant_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (role, tenant.id),
            )
            if created:
                await _run(connection, analyst_limits(role))
            await _run(connection, analyst_grants(role))
            await revoke_from_public(connection)
            return Granted(created, await _left(connection, role))

    async def revoke_analyst(self, role: str, tenant: Tenant) -> None:
        """Take from *role* all that it may read.

        Raises:
            ConfigurationError: it is not bound to *tenant*.
        """
        async with self._changing(role) as connection:
            if await _bound_to(connection, role) != tenant.slug:
                raise ConfigurationError(
                    f"The role {role} is not bound to the tenant {tenant.slug}."
                )
            await connection.execute("DELETE FROM tenant_roles WHERE role = %s", (role,))
            if await _exists(connection, role):
                await _run(connection, revocations(role))

    async def grant_worker(self, role: str) -> Granted:
        """Let *role* run syncs of every tenant, and nothing beyond that. Harmless when repeated.

        Raises:
            ConfigurationError: the role owns the tables or is a superuser, it is an analyst's, or
                it does not exist and the owner may not create it.
        """
        async with self._changing(role) as connection:
            bound = await _bound_to(connection, role)
            if bound is not None:
                raise ConfigurationError(
                    f"The role {role} is bound to the tenant {bound}, and a worker sees all: "
                    "choose another."
                )
            created = await _ensure(connection, role)
            await _run(connection, worker_grants(role))
            await _run(connection, worker_policies({*await _workers(connection), role}))
            return Granted(created)

    async def revoke_worker(self, role: str) -> None:
        """Take from *role* all that `grant_worker` gave it.

        Raises:
            ConfigurationError: it is no worker's.
        """
        async with self._changing(role) as connection:
            workers = await _workers(connection)
            if role not in workers:
                raise ConfigurationError(f"The role {role} is no worker's.")
            await _run(connection, worker_policies(workers - {role}))
            await _run(connection, revocations(role))

    async def workers(self) -> frozenset[str]:
        """Return the roles that run syncs."""
        with translated():
            connection = await connect_alone(self._engine, "raysync roles")
            async with connection:
                return frozenset(await _workers(connection))

    async def rights_left(self) -> list[tuple[str, str, str]]:
        """Return what analysts may do and should not: role, right and the statement against it.

        Return nothing to a role that may not see the analysts.
        """
        with translated():
            connection = await connect_alone(self._engine, "raysync roles")
            async with connection:
                if await (await connection.execute(_SEES_BINDINGS)).fetchone() != (True,):
                    return []
                rows = await (await connection.execute(_BINDINGS)).fetchall()
                return [
                    (role, right.what, statement)
                    for (role,) in rows
                    for right, statement in await rights_left(connection, role)
                ]

    @asynccontextmanager
    async def _changing(self, role: str) -> AsyncIterator[_Connection]:
        """A transaction of its own, for a role whose name can be one."""
        _require_name(role)
        with translated():
            connection = await connect_alone(self._engine, "raysync roles", timeout_s=0)
            async with connection, connection.transaction():
                await connection.execute(_LOCK_WAIT)
                yield connection


async def refused_to(engine: AsyncEngine, error: NotPermittedError) -> NotPermittedError:
    """Return *error* with what helps the role that is connected: a worker is one already."""
    try:
        with translated():
            async with engine.connect() as connection:
                is_worker = bool((await connection.execute(_IS_WORKER)).scalar_one())
    except RaysyncError:  # the database went away meanwhile: what it refused is the news
        return error
    if not is_worker:
        return error
    return NotPermittedError(
        f"{error.refusal} It is a worker's role, which may run syncs and no more: do this as the "
        "tables' owner.",
        error.refusal,
    )


def renew_grants(session: Any) -> None:
    """After a migration: what it added, for those who were granted the rest.

    *session* is a connection of psycopg's, in the migration's transaction.
    """
    workers = {name for (name,) in session.execute(_WORKERS, (WORKER_POLICY,))}
    analysts = [name for (name,) in session.execute(_BINDINGS)]
    granted = [grant for role in sorted(workers) for grant in worker_grants(role)]
    granted += worker_policies(workers) if workers else []
    granted += [grant for role in analysts for grant in analyst_grants(role)]
    for statement in granted:
        session.execute(statement)
    if analysts:
        revoke_from_public_now(session)


def _require_name(role: str) -> None:
    fits = 0 < len(role.encode(errors="replace")) <= _MAX_NAME_BYTES and role.isprintable()
    if not fits or role.startswith("pg_") or role in _RESERVED:
        raise ConfigurationError(
            f"{role!r} cannot be a role's name: up to 63 bytes, not beginning with pg_, and no "
            "reserved word such as public."
        )


async def _ensure(connection: _Connection, role: str) -> bool:
    """Make *role* where it does not exist, and say whether; refuse one that nothing restrains."""
    found = await (await connection.execute(_OWN, (role,))).fetchone()
    if found == (True,):
        raise ConfigurationError(
            f"The role {role} owns the tables, or is a superuser, or may bypass row security or "
            "create roles: nothing that is granted restrains it. Choose another."
        )
    if found is not None:
        return False
    try:
        await connection.execute(login_role(role).encode())
    except psycopg.errors.InsufficientPrivilege:
        raise ConfigurationError(
            f"There is no role {role}, and yours may not create one: have the server's "
            f"administrator run  {login_role(role)}  and try again."
        ) from None
    return True


async def _left(connection: _Connection, role: str) -> tuple[tuple[str, str], ...]:
    left = await rights_left(connection, role)
    for right, statement in left:
        if right is CREATING:
            raise ConfigurationError(
                f"Every role of this database may {right.what}, {role} too: what others then run "
                f"could be its own. Have the database's administrator run  {statement}  and try "
                "again."
            )
    return tuple((right.what, statement) for right, statement in left)


async def _exists(connection: _Connection, role: str) -> bool:
    found = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
    return await found.fetchone() is not None


async def _workers(connection: _Connection) -> set[str]:
    rows = await connection.execute(_WORKERS, (WORKER_POLICY,))
    return {name for (name,) in await rows.fetchall()}


async def _bound_to(connection: _Connection, role: str) -> str | None:
    row = await (await connection.execute(_BOUND, (role,))).fetchone()
    return None if row is None else str(row[0])


async def _run(connection: _Connection, statements: list[str]) -> None:
    for statement in statements:
        await connection.execute(statement.encode())
