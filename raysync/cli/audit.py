"""`raysync audit`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli.output import words
from raysync.cli.output.console import out, say, tell_json

if TYPE_CHECKING:
    from raysync.models.records import AuditEntry


def audit(
    tenant: Annotated[
        str | None,
        typer.Option(metavar="SLUG", help="What was done to this tenant. [default: all]"),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="The last N entries.")
    ] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show who did what and when, the latest first.

    Entries can be added to the log, and neither changed nor taken out. Who acted is what their
    machine says; the role is the one that was connected, as the database knows it.
    """
    entries = asyncio.run(_entries(tenant, limit))
    if as_json:
        told = [
            {
                "at": each.at.isoformat(),
                "actor": each.actor,
                "action": each.action,
                "tenant": each.tenant,
                "details": dict(each.details),
                "db_role": each.db_role,
            }
            for each in entries
        ]
        tell_json(json.dumps({"entries": told}, indent=2))
        return
    if not entries:
        say("Nothing is in the log.")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("at (UTC)", "who", "as role", "what", "tenant", "details"):
        table.add_column(column, overflow="fold")
    for each in entries:
        details = ", ".join(f"{name} {value}" for name, value in each.details.items())
        cells = (
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            each.actor,
            each.db_role or "",
            each.action,
            each.tenant or "",
            details,
        )
        table.add_row(*map(words.printable, cells))
    out().print(table)


async def _entries(tenant: str | None, limit: int) -> Sequence[AuditEntry]:
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.connection.audit import AuditLog

    async with open_store(read_settings()) as engine:
        return await AuditLog(engine).recent(limit, tenant)
