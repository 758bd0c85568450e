"""`raysync privacy rescrub`: bring what was kept under earlier rules to today's."""

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
from raysync.cli.output.console import say, tell_json
from raysync.cli.output.hints import invocation
from raysync.cli.output.streams import keep_exit_code
from raysync.cli.privacy.tenant_privacy import with_privacy

if TYPE_CHECKING:
    from raysync.models.privacy import RescrubCounts
    from raysync.privacy import TenantPrivacy

_PARTIAL = 3


def rescrub(
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="SLUG", help="Whose archive.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every archive that has rows of earlier rules.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Bring rows that were kept under earlier rules to today's, without asking Discord.

    Ids of people that were left in texts and payloads become the pseudonyms that a run would give
    them. Without --yes it shows first how much there is to look at. If interrupted, run the same
    command again to continue.
    """
    from raysync.errors import RaysyncError

    if (tenant is None) is not all_:
        raise typer.BadParameter("give exactly one of --tenant and --all.")
    slugs = [tenant] if tenant is not None else asyncio.run(_due())
    if not yes:
        for slug in slugs:
            messages = asyncio.run(with_privacy(slug, lambda office: office.count_rescrub()))
            say(f"This would look at {words.counted(messages, 'message')} of {slug}.")
    if slugs:
        require_confirmation(
            f"Rewrite what was kept of {_named(slugs)} under earlier rules, for good?", yes=yes
        )
    keep_exit_code()
    done: dict[str, RescrubCounts] = {}
    for slug in slugs:
        try:
            done[slug] = asyncio.run(with_privacy(slug, _rescrub))
        except RaysyncError as error:  # which the others have no part in
            if tenant is not None:
                raise
            say(f"{slug} was not rewritten. {error}")
    if as_json:
        listed = [{"tenant": slug, **asdict(each)} for slug, each in done.items()]
        tell_json(json.dumps({"rescrubbed": listed}, indent=2))
    else:
        _tell(done)
    if len(done) < len(slugs):
        raise typer.Exit(_PARTIAL)


async def _rescrub(office: TenantPrivacy) -> Any:
    from raysync.settings import read_settings

    return await office.rescrub(read_settings())


async def _due() -> list[str]:
    """Return the slugs of the tenants that may have rows of earlier rules."""

    async def is_due(office: TenantPrivacy) -> bool:
        return (await office.scrubbing()).is_due

    return [slug for slug in await all_slugs() if await with_privacy(slug, is_due)]


def _named(slugs: list[str]) -> str:
    return slugs[0] if len(slugs) == 1 else words.counted(len(slugs), "tenant")


def _tell(done: dict[str, RescrubCounts]) -> None:
    for slug, counts in done.items():
        parts = (
            words.counted(counts.messages, "message"),
            words.counted(counts.versions, "earlier version"),
            words.counted(counts.attachments, "attachment"),
            words.counted(counts.reactions, "emoji"),
            words.counted(counts.channels, "channel"),
        )
        say(f"{slug}: {', '.join(parts)} of {words.count(counts.looked_at)} messages rewritten.")
        say(
            "A text that earlier rules took for a signed address comes back from Discord alone: "
            f"{invocation()} start --tenant {slug} --full"
        )
    if not done:
        say("Nothing was kept under earlier rules.")
