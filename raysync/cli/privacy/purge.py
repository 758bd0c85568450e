"""`raysync privacy purge`: erase what is past retention, now."""

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
from raysync.cli.output.console import say, tell_json
from raysync.cli.output.streams import keep_exit_code
from raysync.cli.privacy.tenant_privacy import with_privacy

if TYPE_CHECKING:
    from raysync.models.privacy import PurgeCounts
    from raysync.privacy import TenantPrivacy


def purge(
    tenant: Annotated[
        str | None,
        typer.Option(metavar="SLUG", help="This tenant alone. [default: every one]"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Erase now what is past retention; a tenant that is being synced does it itself at the end.

    Without --yes it shows first what would go, and asks if there is anything.
    """
    slugs = [tenant] if tenant is not None else asyncio.run(all_slugs())
    if not yes:
        would, _ = _of_each(slugs, lambda office: office.count_purge(), is_alone=tenant is not None)
        for slug, counts in would.items():
            say(f"{slug}: this would erase {_preview(counts)}.")
        if any(counts.erased or counts.emptied for counts in would.values()):
            require_confirmation("Erase that, for good?", yes=yes)
    keep_exit_code()
    done, failed = _of_each(slugs, lambda office: office.purge(), is_alone=tenant is not None)
    if as_json:
        listed = [{"tenant": slug, **asdict(each)} for slug, each in done.items()]
        tell_json(json.dumps({"purged": listed}, indent=2))
    else:
        for slug, each in done.items():
            say(f"{slug}: {_purged(each)}.")
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _of_each(
    slugs: list[str],
    act: Callable[[TenantPrivacy], Awaitable[PurgeCounts]],
    *,
    is_alone: bool,
) -> tuple[dict[str, PurgeCounts], bool]:
    """Have *act* done on each tenant; what came of it, and whether one failed."""
    from raysync.errors import JobRunningError, RaysyncError

    done: dict[str, PurgeCounts] = {}
    failed = False
    for slug in slugs:
        try:
            done[slug] = asyncio.run(with_privacy(slug, act))
        except JobRunningError as error:
            if is_alone:
                raise
            say(f"{slug} is left to its run. {error}")
        except RaysyncError as error:  # which the others have no part in
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
