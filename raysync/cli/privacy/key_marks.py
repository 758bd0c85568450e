"""Marks of the keys that tenants are synced under, written by the owner for the workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from raysync.cli.output.console import say

if TYPE_CHECKING:
    from raysync.models.entities import Tenant
    from raysync.settings import Settings
    from raysync.store.connection.engine import Engine


async def store_key_marks(settings: Settings, engine: Engine, tenants: Iterable[Tenant]) -> None:
    """Store the key's mark of tenants that have none yet, if there are workers."""
    from raysync.credentials import key_mark, secret_key
    from raysync.errors import ConfigurationError
    from raysync.models.entities import Privacy
    from raysync.store.privacy.key_checks import KeyChecks
    from raysync.store.server.roles import RoleStore

    named = [each for each in tenants if each.privacy is not Privacy.FULL]
    if not named or not await RoleStore(engine).workers():
        return
    try:
        secret = secret_key(settings)
    except ConfigurationError:
        say(
            "Note: RAYSYNC_SECRET_KEY is not set here, and a worker may not say first which one it "
            "is. Before the first run of each tenant, run `raysync privacy accept-key --tenant "
            "SLUG` once, as the owner of the tables and with that key."
        )
        return
    await KeyChecks(engine).note({each.id: key_mark(secret, each.guild_id) for each in named})
