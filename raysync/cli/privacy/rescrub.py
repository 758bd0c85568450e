"""Command `raysync privacy rescrub`: rewrite rows that earlier privacy rules wrote."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysync.cli import options
from raysync.cli.confirmation import require_confirmation
from raysync.cli.find_tenants import all_slugs
from raysync.cli.output import words
from raysync.cli.output.console import print_json, say
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.output.streams import keep_exit_code
from raysync.cli.privacy.tenant_privacy import with_privacy

if TYPE_CHECKING:
    from raysync.models.privacy import RescrubCounts
    from raysync.privacy import TenantPrivacy

_PARTIAL = 3


def rescrub(
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="SLUG", help="Rewrite this tenant's archive.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Rewrite every archive with rows of earlier rules.")
    ] = False,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Rewrite rows that were stored under earlier privacy rules.

    Ids of people that earlier rules left in texts and payloads become the pseudonyms that a run
    would give them. No request is sent to Discord. Give exactly one of --tenant and --all. Without
    --yes the command shows first how many messages there are to check. If interrupted, run the
    same command again to continue.
    """
    from raysync.errors import RaysyncError

    if (tenant is None) is not all_:
        raise typer.BadParameter("Give exactly one of --tenant and --all.")
    slugs = [tenant] if tenant is not None else asyncio.run(_due())
    if not yes:
        for slug in slugs:
            messages = asyncio.run(with_privacy(slug, lambda privacy: privacy.count_rescrub()))
            say(f"This would check {words.counted(messages, 'message')} of {slug}.")
    if slugs:
        require_confirmation(
            f"Rewrite the rows of {_named(slugs)} that earlier rules wrote, permanently?", yes=yes
        )
    keep_exit_code()
    done: dict[str, RescrubCounts] = {}
    for slug in slugs:
        try:
            done[slug] = asyncio.run(with_privacy(slug, _rescrub))
        except RaysyncError as error:  # the other tenants are not affected
            if tenant is not None:
                raise
            say(f"{slug} was not rewritten. {error}")
    if as_json:
        listed = [{"tenant": slug, **asdict(counts)} for slug, counts in done.items()]
        print_json(json.dumps({"rescrubbed": listed}, indent=2))
    else:
        _print_counts(done)
    if len(done) < len(slugs):
        raise typer.Exit(_PARTIAL)


async def _rescrub(privacy: TenantPrivacy) -> Any:
    from raysync.settings import read_settings

    return await privacy.rescrub(read_settings())


async def _due() -> list[str]:
    """Return the slugs of the tenants that may have rows of earlier rules."""

    async def is_due(privacy: TenantPrivacy) -> bool:
        return (await privacy.scrubbing()).is_due

    return [slug for slug in await all_slugs() if await with_privacy(slug, is_due)]


def _named(slugs: list[str]) -> str:
    return slugs[0] if len(slugs) == 1 else words.counted(len(slugs), "tenant")


def _print_counts(done: dict[str, RescrubCounts]) -> None:
    for slug, counts in done.items():
        parts = (
            words.counted(counts.messages, "message"),
            words.counted(counts.versions, "earlier version"),
            words.counted(counts.attachments, "attachment"),
            words.counted(counts.reactions, "emoji"),
            words.counted(counts.channels, "channel"),
        )
        say(f"{slug}: {', '.join(parts)} of {words.count(counts.looked_at)} messages rewritten.")
        suggest(
            "Only Discord can restore texts that earlier rules took for a signed address. Read "
            "everything again:",
            command_line("start", "--tenant", slug, "--full"),
        )
    if not done:
        say("No archive has rows of earlier rules.")
