"""Command `raysync reset`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from raysync.cli import options
from raysync.cli.confirmation import require_confirmation
from raysync.cli.find_tenants import find_tenant
from raysync.cli.output import words
from raysync.cli.output.hints import command_line, suggest
from raysync.models.audit import AuditAction
from raysync.operators import operator_name


def reset(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Reset this tenant.")],
    yes: options.Yes = False,
) -> None:
    """Forget a tenant's progress; the next run reads everything.

    Stored messages stay. The next run compares them with Discord's answers.
    """
    asyncio.run(find_tenant(tenant))
    require_confirmation(f"Forget the progress of {tenant}? Its messages stay.", yes=yes)
    channels = asyncio.run(_reset(tenant))
    suggest(
        f"The progress of {words.counted(channels, 'channel')} is forgotten. Read them again:",
        command_line("start", "--tenant", tenant),
    )


async def _reset(slug: str) -> int:
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.connection.audit import AuditLog
    from raysync.store.jobs.reset import reset_progress
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        tenant = await TenantStore(engine).get(slug)
        channels = await reset_progress(engine, tenant.id)
        await AuditLog(engine).record(
            operator_name(), AuditAction.RESET, slug, {"channels": channels}
        )
    return channels
