"""Command `raysync privacy purge`: erase what is past its retention."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import options
from raysync.cli.confirmation import require_confirmation
from raysync.cli.error_handling import EXIT_FAILED
from raysync.cli.find_tenants import all_slugs
from raysync.cli.output import words
from raysync.cli.output.console import print_json, say
from raysync.cli.output.streams import keep_exit_code
from raysync.cli.privacy.tenant_privacy import with_privacy

if TYPE_CHECKING:
    from raysync.models.privacy import PurgeCounts
    from raysync.privacy import TenantPrivacy


def purge(
    tenant: Annotated[
        str | None,
        typer.Option(metavar="SLUG", help="Purge only this tenant. [default: every tenant]"),
    ] = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Erase messages past their retention, now.

    A tenant with a running sync is skipped: its run purges at its end. Without --yes the command
    shows what would be erased, and asks before it erases.
    """
    slugs = [tenant] if tenant is not None else asyncio.run(all_slugs())
    if not yes:
        preview, _ = _for_each(
            slugs, lambda privacy: privacy.count_purge(), is_alone=tenant is not None
        )
        for slug, counts in preview.items():
            say(f"{slug}: this would erase {_preview(counts)}.")
        if any(counts.erased or counts.emptied for counts in preview.values()):
            require_confirmation("Erase that permanently?", yes=yes)
    keep_exit_code()
    done, failed = _for_each(slugs, lambda privacy: privacy.purge(), is_alone=tenant is not None)
    if as_json:
        listed = [{"tenant": slug, **asdict(counts)} for slug, counts in done.items()]
        print_json(json.dumps({"purged": listed}, indent=2))
    else:
        for slug, counts in done.items():
            say(f"{slug}: {_purged(counts)}.")
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _for_each(
    slugs: list[str],
    act: Callable[[TenantPrivacy], Awaitable[PurgeCounts]],
    *,
    is_alone: bool,
) -> tuple[dict[str, PurgeCounts], bool]:
    """Run *act* on each tenant. Return the counts by slug, and whether a tenant failed."""
    from raysync.errors import JobRunningError, RaysyncError

    done: dict[str, PurgeCounts] = {}
    failed = False
    for slug in slugs:
        try:
            done[slug] = asyncio.run(with_privacy(slug, act))
        except JobRunningError as error:
            if is_alone:
                raise
            say(f"{slug} was not purged now: its run does it at the end. {error}")
        except RaysyncError as error:  # the other tenants are not affected
            if is_alone:
                raise
            failed = True
            say(f"{slug} was not purged. {error}")
    return done, failed


def _preview(counts: PurgeCounts) -> str:
    emptied = words.counted(counts.emptied, "deleted message")
    files = words.counted(counts.files, "file")
    return f"{words.counted(counts.erased, 'message')}, empty {emptied} and remove {files}"


def _purged(counts: PurgeCounts) -> str:
    return (
        f"{words.counted(counts.erased, 'message')} erased, "
        f"{words.counted(counts.emptied, 'deleted message')} emptied, "
        f"{words.counted(counts.files, 'file')} removed"
    )
