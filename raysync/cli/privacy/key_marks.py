"""Marks of the secret keys of tenants. The owner stores them for the workers to check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from raysync.cli.output.console import say

if TYPE_CHECKING:
    from raysync.models.entities import Tenant
    from raysync.settings import Settings
    from raysync.store.connection.engine import Engine


async def store_key_marks(settings: Settings, engine: Engine, tenants: Iterable[Tenant]) -> None:
    """Store the key mark of tenants that have none yet, if worker roles exist."""
    from raysync.credentials import key_mark, secret_key
    from raysync.errors import ConfigurationError
    from raysync.models.entities import Privacy
    from raysync.store.privacy.key_checks import KeyChecks
    from raysync.store.server.roles import RoleStore

    pseudonymous = [tenant for tenant in tenants if tenant.privacy is not Privacy.FULL]
    if not pseudonymous or not await RoleStore(engine).workers():
        return
    try:
        secret = secret_key(settings)
    except ConfigurationError:
        say(
            "Note: RAYSYNC_SECRET_KEY is not set here, so the key of the tenants is not recorded, "
            "and worker roles may not record it. Before the first run of each tenant, run "
            "`raysync privacy accept-key --tenant SLUG` once, as the owner of the tables and with "
            "that key."
        )
        return
    marks = {tenant.id: key_mark(secret, tenant.guild_id) for tenant in pseudonymous}
    await KeyChecks(engine).note(marks)
