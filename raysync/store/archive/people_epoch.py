"""Epoch of a tenant's rules on people, by which a tail notices that they changed.

A tail reads the rules once, and writes events under them. Every change of the rules locks the
tenant's row of `tenant_listening` and raises its epoch, and every write of a tail locks the same
row and compares the epoch. So no event is written under rules that were replaced before.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from raysync.models.ids import TenantId

_CHANGED = text("""
UPDATE tenant_listening SET rules_epoch = rules_epoch + 1, updated_at = now()
WHERE tenant_id = :tenant_id
""")


async def rules_changed(connection: AsyncConnection, tenant_id: TenantId) -> None:
    """Note that the transaction changes the rules. Without a tail there is nothing to note."""
    await connection.execute(_CHANGED, {"tenant_id": tenant_id})
