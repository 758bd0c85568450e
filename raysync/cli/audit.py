"""Command `raysync audit`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli.output import words
from raysync.cli.output.console import out, print_json, say

if TYPE_CHECKING:
    from raysync.models.records import AuditEntry


def audit(
    tenant: Annotated[
        str | None,
        typer.Option(metavar="SLUG", help="Show entries of this tenant. [default: all]"),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="Show the last N entries.")
    ] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show who did what and when, the latest entry first.

    Entries can be added to the log, but not changed or removed. The name of the operator comes
    from their machine. The role is the database role of the connection.
    """
    entries = asyncio.run(_entries(tenant, limit))
    if as_json:
        shown = [
            {
                "at": entry.at.isoformat(),
                "actor": entry.actor,
                "action": entry.action,
                "tenant": entry.tenant,
                "details": dict(entry.details),
                "db_role": entry.db_role,
            }
            for entry in entries
        ]
        print_json(json.dumps({"entries": shown}, indent=2))
        return
    if not entries:
        say("The audit log has no entries.")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("at (UTC)", "who", "as role", "what", "tenant", "details"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        details = ", ".join(f"{name} {value}" for name, value in entry.details.items())
        cells = (
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.actor,
            entry.db_role or "",
            entry.action,
            entry.tenant or "",
            details,
        )
        table.add_row(*map(words.printable, cells))
    out().print(table)


async def _entries(tenant: str | None, limit: int) -> Sequence[AuditEntry]:
    from raysync.database import LOOK_TIMEOUT_S, open_store
    from raysync.settings import read_settings
    from raysync.store.connection.audit import AuditLog

    async with open_store(read_settings(), timeout_s=LOOK_TIMEOUT_S) as engine:
        return await AuditLog(engine).recent(limit, tenant)
