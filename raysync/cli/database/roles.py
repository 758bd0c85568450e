"""`raysync db grant-…` and `revoke-…`: who else may use the database, and for what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli.output.console import say
from raysync.cli.privacy.key_marks import store_key_marks
from raysync.operators import operator_name

if TYPE_CHECKING:
    from raysync.settings import Settings
    from raysync.store.server.roles import Granted

_Role = Annotated[str, typer.Option(metavar="NAME", help="The database's role.")]
_Tenant = Annotated[str, typer.Option(metavar="SLUG", help="The tenant that it sees.")]


def grant_analyst(tenant: _Tenant, role: _Role) -> None:
    """Let a role of the database read one tenant, and nothing of the others.

    In the tables, where row security sees to it, and in the views of the schema analytics. A role
    that does not exist is made, without a password. For the tables' owner.
    """
    from raysync.settings import read_settings

    settings = read_settings()
    granted = asyncio.run(_grant_analyst(settings, tenant, role))
    say(f"{role} reads the tenant {tenant}, and no other.")
    for what, statement in granted.left:
        say(
            f"Note: like all roles here, {role} may {what}. If nobody else needs it, have the "
            f"database's administrator run  {statement}"
        )
    _tell_of_login(settings, role, granted)


def revoke_analyst(tenant: _Tenant, role: _Role) -> None:
    """Take from a role what grant-analyst gave it.

    The role stays, and sees nothing.
    """
    from raysync.settings import read_settings

    asyncio.run(_revoke_analyst(read_settings(), tenant, role))
    say(f"{role} reads nothing of {tenant} any more. The role itself is still there.")


def grant_worker(role: _Role) -> None:
    """Let a role of the database run syncs, and no more than that.

    It reads and writes what runs need, of every tenant; it changes no schema, adds and removes no
    tenant, and can only add to the audit log. A role that does not exist is made, without a
    password. For the tables' owner.
    """
    from raysync.settings import read_settings

    settings = read_settings()
    granted = asyncio.run(_grant_worker(settings, role))
    say(f"{role} may run syncs: name it in RAYSYNC_DATABASE_URL where they run.")
    _tell_of_login(settings, role, granted)


def revoke_worker(role: _Role) -> None:
    """Take from a role what grant-worker gave it.

    The role stays, and may do nothing.
    """
    from raysync.settings import read_settings

    asyncio.run(_revoke_worker(read_settings(), role))
    say(f"{role} may run syncs no more. The role itself is still there.")


def _tell_of_login(settings: Settings, role: str, granted: Granted) -> None:
    if settings.database_url is None:
        say(
            "The embedded database lets in its own system user alone, so the role is of use "
            "there as `SET ROLE` only, which whoever may say it may take back. For other people, "
            "use a server of your own."
        )
    elif granted.created:
        say(
            "It is new and has no password. Set one in psql, which does not show it: "
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
        await AuditLog(engine).record(operator_name(), "db grant-analyst", slug, {"role": role})
    return granted


async def _revoke_analyst(settings: Settings, slug: str, role: str) -> None:
    from raysync.database import open_store
    from raysync.store.connection.audit import AuditLog
    from raysync.store.server.roles import RoleStore
    from raysync.store.tenants import TenantStore

    async with open_store(settings) as engine:
        tenant = await TenantStore(engine).get(slug)
        await RoleStore(engine).revoke_analyst(role, tenant)
        await AuditLog(engine).record(operator_name(), "db revoke-analyst", slug, {"role": role})


async def _grant_worker(settings: Settings, role: str) -> Granted:
    from raysync.database import open_store
    from raysync.store.connection.audit import AuditLog
    from raysync.store.server.roles import RoleStore
    from raysync.store.tenants import TenantStore

    async with open_store(settings) as engine:
        granted = await RoleStore(engine).grant_worker(role)
        await store_key_marks(settings, engine, await TenantStore(engine).list())
        await AuditLog(engine).record(operator_name(), "db grant-worker", None, {"role": role})
    return granted


async def _revoke_worker(settings: Settings, role: str) -> None:
    from raysync.database import open_store
    from raysync.store.connection.audit import AuditLog
    from raysync.store.server.roles import RoleStore

    async with open_store(settings) as engine:
        await RoleStore(engine).revoke_worker(role)
        await AuditLog(engine).record(operator_name(), "db revoke-worker", None, {"role": role})
