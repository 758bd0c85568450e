"""Commands `raysync tenant`: the Discord servers that are synced, and their tokens."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import options, params
from raysync.cli.confirmation import require_confirmation
from raysync.cli.find_tenants import all_tenants, find_tenant
from raysync.cli.output import words
from raysync.cli.output.console import out, plain_table, print_json, say
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.privacy.key_marks import store_key_marks
from raysync.models.audit import AuditAction
from raysync.models.entities import Privacy, TenantStatus
from raysync.operators import operator_name

if TYPE_CHECKING:
    from raysync.models.entities import Tenant
    from raysync.settings import Settings

app = typer.Typer(help="Add, list, pause and remove Discord servers to sync.", no_args_is_help=True)

_Slug = Annotated[str, typer.Argument(metavar="SLUG", help="Short name of the tenant.")]


@app.command()
def add(
    slug: Annotated[
        str,
        typer.Argument(
            metavar="SLUG",
            help="Short name of the tenant: lower-case letters, digits, - and _.",
        ),
    ],
    guild: Annotated[
        int,
        typer.Option(
            parser=params.snowflake, metavar="ID", help="Sync the Discord server with this id."
        ),
    ],
    token_env: Annotated[
        str | None,
        typer.Option(
            parser=params.variable_name,
            metavar="NAME",
            help="Read the bot token from this environment variable.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            parser=params.token_file, metavar="PATH", help="Read the bot token from this file."
        ),
    ] = None,
    token_stdin: Annotated[
        bool,
        typer.Option(
            "--token-stdin", help="Read the bot token from stdin, and store it encrypted."
        ),
    ] = False,
    privacy: Annotated[
        Privacy,
        typer.Option(help="Store authors under pseudonyms, or in full with names and ids."),
    ] = Privacy.PSEUDONYMOUS,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Set a display name. [default: the slug]")
    ] = None,
    no_check: Annotated[
        bool,
        typer.Option("--no-check", help="Do not ask Discord whether the bot is in the server."),
    ] = False,
) -> None:
    """Add a Discord server to sync.

    Give exactly one of --token-env, --token-file and --token-stdin. The token itself is never an
    argument. If the token is available here, the command asks Discord whether its bot is in the
    server.
    """
    if (token_env is not None) + (token_file is not None) + token_stdin != 1:
        raise typer.BadParameter(
            "Give exactly one of --token-env NAME, --token-file PATH and --token-stdin."
        )
    from raysync.settings import read_settings

    settings, sealed, token = read_settings(), None, None
    if token_env is not None:
        reference = f"env:{token_env}"
    elif token_file is not None:
        reference = f"file:{token_file}"
    else:
        reference, sealed, token = _sealed_from_stdin(settings)
    unchecked = None if no_check else _unchecked(settings, guild, reference, token)
    asyncio.run(_add(settings, slug, guild, name or slug, reference, privacy, sealed))
    suggest(f"Tenant {slug} was added. Sync it:", command_line("start", "--tenant", slug))
    _warn_of_token_source(token_env, token_file)
    if unchecked is not None:
        suggest(
            f"Note: it is not known whether the bot is in guild {guild}. {unchecked} "
            "Check it later:",
            command_line("doctor", "--tenant", slug),
        )


def _unchecked(settings: Settings, guild: int, reference: str, token: str | None) -> str | None:
    """Return why it is unknown whether the bot is in the guild, or None if it is in there.

    Raises:
        ConfigurationError: the bot is not in the guild, or Discord refuses the token. The message
            says how to add the tenant without the check.
    """
    from raysync.credentials import resolve_token
    from raysync.doctor.membership import unknown_member
    from raysync.errors import ConfigurationError, TokenUnavailableError
    from raysync.models.ids import GuildId

    try:
        token = token or resolve_token(reference, None, b"", settings.discord_api_url)
    except TokenUnavailableError:
        return "The token is not available here."
    try:
        return asyncio.run(unknown_member(settings, token, GuildId(guild)))
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error} Nothing was added. Give --no-check to add it without asking Discord."
        ) from None


def _sealed_from_stdin(settings: Settings) -> tuple[str, bytes, str]:
    from raysync.credentials import STORED, seal_token, secret_key

    if sys.stdin.isatty():
        token = typer.prompt("Bot token", hide_input=True, err=True)
    else:
        token = sys.stdin.read()
    token = token.strip()
    if not token:
        raise typer.BadParameter(
            "there is no token on stdin. Pipe the bot token to the command.",
            param_hint="--token-stdin",
        )
    if len(token.split()) > 1:
        raise typer.BadParameter(
            "stdin holds more than one word. Pipe only the bot token.", param_hint="--token-stdin"
        )
    return STORED, seal_token(token, secret_key(settings)), token


def _warn_of_token_source(variable: str | None, file: Path | None) -> None:
    if variable is not None and not os.environ.get(variable):
        say(f"Note: {variable} is not set here. Set it where `raysync start` runs.")
    if file is not None:
        from raysync.credentials import readable_by_others

        if readable_by_others(file):
            say(f"Note: other users can read {file}. To prevent it: chmod 600 {file}")


async def _add(
    settings: Settings,
    slug: str,
    guild_id: int,
    name: str,
    reference: str,
    privacy: Privacy,
    sealed: bytes | None,
) -> None:
    from raysync.database import open_store
    from raysync.models.ids import GuildId
    from raysync.store.connection.audit import AuditLog
    from raysync.store.tenants import TenantStore

    async with open_store(settings) as engine:
        added = await TenantStore(engine).add(
            slug, GuildId(guild_id), name, reference, privacy, sealed
        )
        await store_key_marks(settings, engine, [added])
        details = {"guild_id": str(guild_id), "token": reference, "privacy": privacy.value}
        await AuditLog(engine).record(operator_name(), AuditAction.TENANT_ADD, slug, details)


@app.command("list")
def list_tenants(as_json: options.AsJson = False) -> None:
    """List the tenants."""
    tenants = asyncio.run(all_tenants())
    if as_json:
        print_json(
            json.dumps([_as_json(tenant) for tenant in tenants], indent=2, ensure_ascii=False)
        )
        return
    if not tenants:
        add = command_line("tenant", "add", "SLUG", "--guild", "ID", "--token-env", "NAME")
        suggest("There is no tenant yet. Add one:", add)
        return
    table = plain_table("tenant", "name", "guild", "status", "privacy", "token")
    for tenant in tenants:
        name = "" if tenant.name == tenant.slug else words.printable(tenant.name)
        guild_id, token = str(tenant.guild_id), words.printable(tenant.token_ref)
        table.add_row(tenant.slug, name, guild_id, tenant.status, tenant.privacy, token)
    out().print(table)


@app.command()
def show(slug: _Slug, as_json: options.AsJson = False) -> None:
    """Show one tenant.

    The token itself is never shown, only its source.
    """
    shown = _as_json(asyncio.run(find_tenant(slug)))
    if as_json:
        print_json(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for label, value in shown.items():
        out().print(f"{label:<11}{words.printable(value or '–')}", soft_wrap=True)


@app.command()
def pause(slug: _Slug) -> None:
    """Exclude a tenant from runs of all tenants.

    Its stored messages stay. A run that names the tenant still syncs it.
    """
    asyncio.run(_set_status(slug, AuditAction.TENANT_PAUSE, TenantStatus.MAINTENANCE))
    suggest(
        f"Tenant {slug} is paused: runs that name no tenant skip it. End the pause:",
        command_line("tenant", "unpause", slug),
    )


@app.command()
def unpause(slug: _Slug) -> None:
    """Include a tenant in runs of all tenants again."""
    asyncio.run(_set_status(slug, AuditAction.TENANT_UNPAUSE, TenantStatus.ACTIVE))
    say(f"Tenant {slug} is active: runs that name no tenant sync it, too.")


@app.command()
def remove(slug: _Slug, yes: options.Yes = False) -> None:
    """Remove a tenant and all its stored messages.

    Stored files of attachments stay. `raysync forget --tenant SLUG --all` removes them, too.
    """
    asyncio.run(find_tenant(slug))
    require_confirmation(f"Remove {slug} and ALL its stored messages permanently?", yes=yes)
    asyncio.run(_remove(slug))
    say(f"Tenant {slug} and all its data in the database were removed.")


async def _set_status(slug: str, action: AuditAction, status: TenantStatus) -> None:
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.connection.audit import AuditLog
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        await TenantStore(engine).set_status(slug, status)
        await AuditLog(engine).record(operator_name(), action, slug)


async def _remove(slug: str) -> None:
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.connection.audit import AuditLog
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        await TenantStore(engine).remove(slug)
        await AuditLog(engine).record(operator_name(), AuditAction.TENANT_REMOVE, slug)


def _as_json(tenant: Tenant) -> dict[str, str | None]:
    return {
        "tenant": tenant.slug,
        "name": tenant.name,
        "guild_id": str(tenant.guild_id),
        "status": tenant.status.value,
        "privacy": tenant.privacy.value,
        "token": tenant.token_ref,
        "added_at": _iso(tenant.created_at),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
