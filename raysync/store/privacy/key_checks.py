"""Marks of the secret keys that tenants' pseudonyms were made under. A mark reveals no key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.ids import TenantId
from raysync.store.connection.engine import translated

_GIVEN = "unnest(CAST(:ids AS bigint[]), CAST(:marks AS text[])) AS given (tenant_id, mark)"
_NOTE = text(f"""
INSERT INTO key_checks (tenant_id, mark) SELECT tenant_id, mark FROM {_GIVEN}
ON CONFLICT (tenant_id) DO NOTHING
""")  # noqa: S608 of constants
_UNMARKED = text(f"""
SELECT tenant_id, has_table_privilege('key_checks', 'INSERT') AS may_note FROM {_GIVEN}
WHERE NOT EXISTS (SELECT FROM key_checks c WHERE c.tenant_id = given.tenant_id)
""")  # noqa: S608 of constants
_DIFFERING = text(f"""
SELECT tenant_id FROM key_checks c JOIN {_GIVEN} USING (tenant_id) WHERE c.mark <> given.mark
""")  # noqa: S608 of constants
_REPLACE = text("""
INSERT INTO key_checks (tenant_id, mark) VALUES (:tenant_id, :mark)
ON CONFLICT (tenant_id) DO UPDATE SET mark = :mark, created_at = now()
""")


class KeyChecks:
    """Marks of all tenants' keys. See `raysync.credentials.key_mark`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def differing(self, marks: Mapping[TenantId, str]) -> frozenset[TenantId]:
        """Return the tenants whose stored mark differs from *marks*."""
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_DIFFERING, _columns(marks))
                return frozenset(TenantId(row.tenant_id) for row in rows)

    async def unmarked(self, tenants: Iterable[TenantId]) -> frozenset[TenantId]:
        """Return those of *tenants* that have no mark yet."""
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_UNMARKED, _columns(dict.fromkeys(tenants, "")))
                return frozenset(TenantId(row.tenant_id) for row in rows)

    async def note(self, marks: Mapping[TenantId, str]) -> frozenset[TenantId]:
        """Store the marks of tenants that have none yet.

        Return the tenants whose first mark the connected role may not write. A worker that could
        write it would decide under which key all others have to sync.
        """
        with translated():
            async with self._engine.begin() as connection:
                rows = (await connection.execute(_UNMARKED, _columns(marks))).all()
                if not all(row.may_note for row in rows):
                    return frozenset(TenantId(row.tenant_id) for row in rows)
                if rows:
                    await connection.execute(_NOTE, _columns(marks))
        return frozenset()

    async def replace(self, tenant_id: TenantId, mark: str) -> None:
        """Store *mark* in place of an earlier one."""
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(_REPLACE, {"tenant_id": tenant_id, "mark": mark})


def _columns(marks: Mapping[TenantId, str]) -> dict[str, Any]:
    return {"ids": list(marks), "marks": list(marks.values())}
