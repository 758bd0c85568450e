"""Roles of the database beside its owner: grants, revocations and look-ups.

A role is bound by its name, which only an administrator of the server can give. Members of a bound
role see what that role sees. No password passes through here.
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
"""Limit of the wait for a run's statements, which are short: changing a policy locks its table."""

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
    """Result of a grant."""

    created: bool  #: the role is new, and has no password yet
    left: tuple[tuple[str, str], ...] = ()
    """Rights that the role has and should not, each with the statement that revokes it."""


class RoleStore:
    """Grants and revocations, for the owner of the tables."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def grant_analyst(self, role: str, tenant: Tenant) -> Granted:
        """Let *role* read the rows of *tenant*, and no others. Harmless when repeated.

        Raises:
            ConfigurationError: the role cannot be limited to one tenant, is bound to another one,
                does not exist and the owner may not create it, or may create functions among
                raysync's.
        """
        async with self._changing(role) as connection:
            if role in await _workers(connection):
                raise ConfigurationError(
                    f"The role {role} is a worker's, which sees all tenants: choose another, or "
                    f"revoke that first (`raysync db revoke-worker --role {role}`)."
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
        """Revoke what `grant_analyst` granted to *role*.

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
        """Let *role* run syncs of every tenant, and nothing else. Harmless when repeated.

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
        """Revoke what `grant_worker` granted to *role*.

        Raises:
            ConfigurationError: it is no worker.
        """
        async with self._changing(role) as connection:
            workers = await _workers(connection)
            if role not in workers:
                raise ConfigurationError(f"The role {role} is not a worker.")
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
        """Open a transaction that changes *role*, after a check of its name."""
        _require_name(role)
        with translated():
            connection = await connect_alone(self._engine, "raysync roles", timeout_s=0)
            async with connection, connection.transaction():
                await connection.execute(_LOCK_WAIT)
                yield connection


async def refused_to(engine: AsyncEngine, error: NotPermittedError) -> NotPermittedError:
    """Return *error* with advice for the connected role, which may be a worker already."""
    try:
        with translated():
            async with engine.connect() as connection:
                is_worker = bool((await connection.execute(_IS_WORKER)).scalar_one())
    except RaysyncError:  # an outage meanwhile must not hide the refusal
        return error
    if not is_worker:
        return error
    return NotPermittedError(
        f"{error.refusal} It is a worker's role, which may only run syncs: do this as the tables' "
        "owner.",
        error.refusal,
    )


def renew_grants(session: Any) -> None:
    """Grant what a migration added to the roles that have grants.

    *session* is a psycopg connection in the migration's transaction.
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
            f"{role!r} cannot be a role's name: use up to 63 bytes, not beginning with pg_, and no "
            "reserved word such as public."
        )


async def _ensure(connection: _Connection, role: str) -> bool:
    """Create *role* unless it exists. Return whether it is new.

    Raises:
        ConfigurationError: the role is exempt from grants, or may not be created.
    """
    found = await (await connection.execute(_OWN, (role,))).fetchone()
    if found == (True,):
        raise ConfigurationError(
            f"The role {role} owns the tables, is a superuser, or may bypass row security or "
            "create roles, so grants cannot restrain it. Choose another."
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
                f"Every role of this database may {right.what}, {role} too, so others could run "
                f"its functions. Have the database's administrator run  {statement}  and try again."
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
