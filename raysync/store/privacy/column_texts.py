"""Rewriting of one text or JSON column of a small table, row by row."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import ColumnElement, Text, bindparam, cast, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from raysync.models.ids import TenantId
from raysync.store.schema.tables import tenants


async def rewrite_column(
    connection: AsyncConnection,
    table: str,
    column: str,
    tenant_id: TenantId,
    concerns: Callable[[ColumnElement[str]], ColumnElement[bool]],
    rewrite: Callable[[str], str],
) -> None:
    """Apply *rewrite* to the tenant's values that the condition *concerns* selects.

    Unchanged values are not written.
    """
    rows = tenants.metadata.tables[table]
    old, new = cast(rows.c[column], Text), bindparam("new", type_=Text)
    found = select(rows.c.id, old.label("old")).where(rows.c.tenant_id == tenant_id, concerns(old))
    change = update(rows).where(rows.c.id == bindparam("of_row"))
    change = change.values({column: cast(new, rows.c[column].type)})
    for row in (await connection.execute(found)).all():
        rewritten = rewrite(row.old)
        if rewritten != row.old:
            await connection.execute(change, {"of_row": row.id, "new": rewritten})
