"""Commands `raysync db grant-…` and `revoke-…`: rights of other database roles."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli.output.console import say
from raysync.cli.privacy.key_marks import store_key_marks
from raysync.models.audit import AuditAction
from raysync.operators import operator_name

if TYPE_CHECKING:
    from raysync.settings import Settings
    from raysync.store.server.roles import Granted

_GrantedRole = Annotated[
    str, typer.Option("--role", metavar="NAME", help="Grant the rights to this database role.")
]
_RevokedRole = Annotated[
    str, typer.Option("--role", metavar="NAME", help="Revoke the rights of this database role.")
]


def grant_analyst(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Let the role see this tenant.")],
    role: _GrantedRole,
) -> None:
    """Let a database role read one tenant.

    The role reads the tables, where row-level security hides other tenants, and the views of the
    schema analytics. A role that does not exist is created, without a password. Only the owner of
    the tables can run this command.
    """
    from raysync.settings import read_settings

    settings = read_settings()
    granted = asyncio.run(_grant_analyst(settings, tenant, role))
    say(f"{role} can read the tenant {tenant}, and no other.")
    for what, statement in granted.left:
        say(
            f"Note: like all roles of this database, {role} may {what}. If nobody needs it, "
            f"let the database's administrator run  {statement}"
        )
    _explain_login(settings, role, granted)


def revoke_analyst(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Revoke access to this tenant.")],
    role: _RevokedRole,
) -> None:
    """Revoke what grant-analyst granted.

    The role itself stays, and sees nothing.
    """
    from raysync.settings import read_settings

    asyncio.run(_revoke_analyst(read_settings(), tenant, role))
    say(f"{role} can no longer read {tenant}. The role itself still exists.")


def grant_worker(role: _GrantedRole) -> None:
    """Let a database role run syncs, and nothing else.

    The role reads and writes what runs need, for every tenant. It cannot change the schema, or add
    and remove tenants, and it can only append to the audit log. A role that does not exist is
    created, without a password. Only the owner of the tables can run this command.
    """
    from raysync.settings import read_settings

    settings = read_settings()
    granted = asyncio.run(_grant_worker(settings, role))
    say(f"{role} may run syncs. Name it in RAYSYNC_DATABASE_URL where they run.")
    _explain_login(settings, role, granted)


def revoke_worker(role: _RevokedRole) -> None:
    """Revoke what grant-worker granted.

    The role itself stays, and may do nothing.
    """
    from raysync.settings import read_settings

    asyncio.run(_revoke_worker(read_settings(), role))
    say(f"{role} may no longer run syncs. The role itself still exists.")


def _explain_login(settings: Settings, role: str, granted: Granted) -> None:
    if settings.database_url is None:
        say(
            "Only its own system user can log in to the embedded database. There the role works "
            "with `SET ROLE` only, which that user can undo. For other people, use a server of "
            "your own."
        )
    elif granted.created:
        say(
            "The role is new and has no password. Set one in psql, which does not show it: "
            f"\\password {role}"
        )


async def _grant_analyst(settings: Settings, slug: str, role: str) -> Granted:
    from raysync.database import open_store
    from raysync.store.connection.audit import AuditLog
    from raysync.store.server.roles import RoleStore
    from raysync.store.tenants import TenantStore

    async with open_store(settings) as engine:
        tenant = await TenantStore(engine).get(slug)
        granted = await RoleStore(engine).grant_analyst(role, tenant)
        await AuditLog(engine).record(
            operator_name(), AuditAction.GRANT_ANALYST, slug, {"role": role}
        )
    return granted


async def _revoke_analyst(settings: Settings, slug: str, role: str) -> None:
    from raysync.database import open_store
    from raysync.store.connection.audit import AuditLog
    from raysync.store.server.roles import RoleStore
    from raysync.store.tenants import TenantStore

    async with open_store(settings) as engine:
        tenant = await TenantStore(engine).get(slug)
        await RoleStore(engine).revoke_analyst(role, tenant)
        await AuditLog(engine).record(
            operator_name(), AuditAction.REVOKE_ANALYST, slug, {"role": role}
        )


async def _grant_worker(settings: Settings, role: str) -> Granted:
    from raysync.database import open_store
    from raysync.store.connection.audit import AuditLog
    from raysync.store.server.roles import RoleStore
    from raysync.store.tenants import TenantStore

    async with open_store(settings) as engine:
        granted = await RoleStore(engine).grant_worker(role)
        await store_key_marks(settings, engine, await TenantStore(engine).list())
        await AuditLog(engine).record(
            operator_name(), AuditAction.GRANT_WORKER, None, {"role": role}
        )
    return granted


async def _revoke_worker(settings: Settings, role: str) -> None:
    from raysync.database import open_store
    from raysync.store.connection.audit import AuditLog
    from raysync.store.server.roles import RoleStore

    async with open_store(settings) as engine:
        await RoleStore(engine).revoke_worker(role)
        await AuditLog(engine).record(
            operator_name(), AuditAction.REVOKE_WORKER, None, {"role": role}
        )
