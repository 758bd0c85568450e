"""`raysync tenant`: who is synced, and with which token."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import params
from raysync.cli.confirmation import require_confirmation
from raysync.cli.find_tenants import find_tenant
from raysync.cli.output import words
from raysync.cli.output.console import out, plain_table, say, tell_json
from raysync.cli.output.hints import invocation
from raysync.cli.privacy.key_marks import store_key_marks
from raysync.models.entities import Privacy, TenantStatus
from raysync.operators import operator_name

if TYPE_CHECKING:
    from raysync.models.entities import Tenant
    from raysync.settings import Settings

app = typer.Typer(help="Who is synced, and with which token.", no_args_is_help=True)

_Slug = Annotated[str, typer.Argument(metavar="SLUG", help="The tenant's short name.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    slug: _Slug,
    guild: Annotated[
        int, typer.Option(parser=params.snowflake, metavar="ID", help="The Discord server's id.")
    ],
    token_env: Annotated[
        str | None,
        typer.Option(
            parser=params.variable_name,
            metavar="NAME",
            help="The environment variable that holds the bot token.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            parser=params.token_file, metavar="PATH", help="The file that holds the bot token."
        ),
    ] = None,
    token_stdin: Annotated[
        bool,
        typer.Option("--token-stdin", help="Read the token from stdin, and keep it encrypted."),
    ] = False,
    privacy: Annotated[
        Privacy, typer.Option(help="What to keep of the people who wrote.")
    ] = Privacy.PSEUDONYMOUS,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="A name to read. [default: the slug]")
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not ask Discord whether the bot is in there.")
    ] = False,
) -> None:
    """Add a Discord server to sync.

    Exactly one of the token options says where its bot token is. The token itself is never an
    argument. Where the token is at hand, Discord is asked whether its bot is in the server.
    """
    if (token_env is not None) + (token_file is not None) + token_stdin != 1:
        raise typer.BadParameter(
            "give exactly one of --token-env NAME, --token-file PATH and --token-stdin."
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
    say(f"Tenant {slug} is added. Sync it with: {invocation()} start --tenant {slug}")
    _warn_of(token_env, token_file)
    if unchecked is not None:
        say(
            f"Note: it was not checked whether the bot is in guild {guild}. {unchecked} "
            f"To check it later: {invocation()} doctor --tenant {slug}"
        )


def _unchecked(settings: Settings, guild: int, reference: str, token: str | None) -> str | None:
    """Return why nobody can tell whether the bot is in the guild; None: it is.

    Raises:
        ConfigurationError: it is not, or Discord refuses the token. Say how to add it all the same.
    """
    from raysync.credentials import resolve_token
    from raysync.doctor.membership import unknown_member
    from raysync.errors import ConfigurationError, TokenUnavailableError
    from raysync.models.ids import GuildId

    try:
        token = token or resolve_token(reference, None, b"", settings.discord_api_url)
    except TokenUnavailableError:
        return "The token is not at hand here."
    try:
        return asyncio.run(unknown_member(settings, token, GuildId(guild)))
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error} Nothing was added; --no-check adds it without asking Discord."
        ) from None


def _sealed_from_stdin(settings: Settings) -> tuple[str, bytes, str]:
    from raysync.credentials import STORED, seal_token, secret_key

    if sys.stdin.isatty():
        token = typer.prompt("Bot token", hide_input=True, err=True)
    else:
        token = sys.stdin.read()
    token = token.strip()
    if not token:
        raise typer.BadParameter("there is no token on stdin.", param_hint="--token-stdin")
    if len(token.split()) > 1:
        raise typer.BadParameter("stdin holds more than a token.", param_hint="--token-stdin")
    return STORED, seal_token(token, secret_key(settings)), token


def _warn_of(variable: str | None, file: Path | None) -> None:
    if variable is not None and not os.environ.get(variable):
        say(f"Note: {variable} is not set here. It must be where `raysync start` runs.")
    if file is not None:
        from raysync.credentials import readable_by_others

        if readable_by_others(file):
            say(f"Note: others can read {file}. Close it with: chmod 600 {file}")


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
        await AuditLog(engine).record(operator_name(), "tenant add", slug, details)


@app.command("list")
def list_tenants(as_json: _Json = False) -> None:
    """List the tenants."""
    tenants = asyncio.run(_all())
    if as_json:
        tell_json(json.dumps([_as_json(each) for each in tenants], indent=2, ensure_ascii=False))
        return
    if not tenants:
        command = f"{invocation()} tenant add SLUG --guild ID --token-env NAME"
        say(f"There is no tenant yet. Add one: {command}")
        return
    table = plain_table("tenant", "name", "guild", "status", "privacy", "token")
    for each in tenants:
        name = "" if each.name == each.slug else words.printable(each.name)
        token = words.printable(each.token_ref)
        table.add_row(each.slug, name, str(each.guild_id), each.status, each.privacy, token)
    out().print(table)


@app.command()
def show(slug: _Slug, as_json: _Json = False) -> None:
    """Show one tenant.

    The token itself is never shown, only where it is.
    """
    shown = _as_json(asyncio.run(find_tenant(slug)))
    if as_json:
        tell_json(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for label, value in shown.items():
        out().print(f"{label:<11}{words.printable(value or '–')}", soft_wrap=True)


@app.command()
def pause(slug: _Slug) -> None:
    """Have runs of all tenants pass one over. What is stored stays.

    A run that names it still syncs it.
    """
    asyncio.run(_set_status(slug, "pause", TenantStatus.MAINTENANCE))
    say(
        f"Tenant {slug} is paused: a run that names no tenant passes it over. "
        f"Lift it: {invocation()} tenant unpause {slug}"
    )


@app.command()
def unpause(slug: _Slug) -> None:
    """Have runs of all tenants sync one again."""
    asyncio.run(_set_status(slug, "unpause", TenantStatus.ACTIVE))
    say(f"Tenant {slug} is active: a run that names no tenant syncs it, too.")


@app.command()
def remove(
    slug: _Slug, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Remove a tenant, and every message stored of it; the bytes of attachments stay.

    `raysync forget --tenant SLUG --all` removes those, too.
    """
    asyncio.run(find_tenant(slug))
    require_confirmation(f"Remove {slug} and ALL its stored messages, for good?", yes=yes)
    asyncio.run(_remove(slug))
    say(f"Tenant {slug} and all that the database had of it is removed.")


async def _all() -> tuple[Tenant, ...]:
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        return await TenantStore(engine).list()


async def _set_status(slug: str, act: str, status: TenantStatus) -> None:
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.connection.audit import AuditLog
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        await TenantStore(engine).set_status(slug, status)
        await AuditLog(engine).record(operator_name(), f"tenant {act}", slug)


async def _remove(slug: str) -> None:
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.connection.audit import AuditLog
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        await TenantStore(engine).remove(slug)
        await AuditLog(engine).record(operator_name(), "tenant remove", slug)


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
