"""Command `raysync forget`: erase somebody or something, and suppress it in later runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysync.cli import options, params
from raysync.cli.confirmation import require_confirmation
from raysync.cli.output import words
from raysync.cli.output.console import out, print_json, say
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.output.streams import keep_exit_code
from raysync.cli.privacy.tenant_privacy import with_privacy

if TYPE_CHECKING:
    from raysync.models.privacy import ErasureCounts, Suppression
    from raysync.privacy import TenantPrivacy


_Moved = Annotated[
    list[str] | None,
    typer.Option(
        "--attachments",
        parser=params.folder_or_url,
        metavar="DIR-or-URL",
        help="Remove attachments here, too, if their files were moved. Repeat it for several. "
        "[default: the places where runs stored them]",
    ),
]
_Gone = Annotated[
    list[str] | None,
    typer.Option(
        "--without-place",
        metavar="DIR-or-URL",
        help="Do not look for attachments in this folder or URL, because it no longer exists. "
        "Repeat it for several.",
    ),
]


def forget(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Erase from this tenant.")],
    user: Annotated[
        str | None,
        typer.Option(
            parser=params.person,
            metavar="ID",
            help="Erase this user, by Discord id or pseudonym (u_…).",
        ),
    ] = None,
    channel: Annotated[
        int | None,
        typer.Option(
            parser=params.snowflake, metavar="ID", help="Erase this channel and its threads."
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Erase the whole tenant: messages, files, token.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="List the users and channels that were forgotten.")
    ] = False,
    undo: Annotated[
        bool,
        typer.Option("--undo", help="With --user or --channel: store it again in later runs."),
    ] = False,
    attachments: _Moved = None,
    without_places: _Gone = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Erase a user, a channel or a tenant permanently.

    Give exactly one of --user, --channel, --all and --list. Without --yes the command shows first
    what would be erased. Later runs do not store it again. --undo ends that, and the next
    `raysync start --full` reads it again. If interrupted, run the same command again to continue.
    """
    if (user is not None) + (channel is not None) + all_ + list_ != 1:
        raise typer.BadParameter("Give exactly one of --user, --channel, --all and --list.")
    if undo and user is None and channel is None:
        raise typer.BadParameter("--undo needs --user or --channel. Give one of them.")
    if (list_ or undo) and (attachments or without_places):
        raise typer.BadParameter(
            "--attachments and --without-place do not go with --list or --undo. Leave them out."
        )
    if list_:
        listed = with_privacy(tenant, lambda privacy: privacy.suppressions(), only_looks=True)
        _show(asyncio.run(listed), as_json)
        return
    keep_exit_code()
    if undo:
        _undo(tenant, user, channel, as_json=as_json)
    else:
        places = (attachments or (), without_places or ())
        _forget(tenant, user, channel, places, yes=yes, as_json=as_json)


def _forget(
    tenant: str,
    user: str | None,
    channel: int | None,
    places: tuple[Sequence[str], Sequence[str]],
    *,
    yes: bool,
    as_json: bool,
) -> None:
    if user is not None:
        what, description = "user", f"the user {user} from {tenant}"
    elif channel is not None:
        named = words.channel(asyncio.run(with_privacy(tenant, _name_of(channel))), channel)
        what, description = "channel", f"{named} and its threads from {tenant}"
    else:
        what, description = "tenant", f"the whole tenant {tenant}, its token and its files"
    if not yes:
        preview = asyncio.run(with_privacy(tenant, _counting(user, channel, places)))
        say(f"This would erase {_sentence(preview, what)}.")
    require_confirmation(f"Erase {description} permanently?", yes=yes)
    erased = asyncio.run(with_privacy(tenant, _erasing(user, channel, places)))
    if as_json:
        shown = {"tenant": tenant, "what": what, "erased": asdict(erased)}
        print_json(json.dumps(shown, indent=2))
        return
    say(f"Erased: {_sentence(erased, what)}.")
    if what != "tenant":
        say(
            "Later runs do not store it again. Backups of the database and of the files still "
            "have it."
        )


def _name_of(channel: int) -> Callable[[TenantPrivacy], Awaitable[str | None]]:
    async def look_up(privacy: TenantPrivacy) -> str | None:
        from raysync.store.archive.channels import ChannelStore

        store = ChannelStore(privacy.engine, privacy.tenant.id)
        return (await store.names([_channel(channel)])).get(_channel(channel))

    return look_up


def _counting(
    user: str | None, channel: int | None, places: tuple[Sequence[str], Sequence[str]]
) -> Callable[[TenantPrivacy], Awaitable[ErasureCounts]]:
    async def count(privacy: TenantPrivacy) -> ErasureCounts:
        from raysync.models.privacy import Elsewhere

        elsewhere = Elsewhere(*map(frozenset, places))
        if user is not None:
            return await privacy.count_user(await _ref(privacy, user), user, elsewhere)
        if channel is not None:
            return await privacy.count_channel(_channel(channel), elsewhere)
        return await privacy.count_all(elsewhere)

    return count


def _erasing(
    user: str | None, channel: int | None, places: tuple[Sequence[str], Sequence[str]]
) -> Callable[[TenantPrivacy], Awaitable[ErasureCounts]]:
    async def erase(privacy: TenantPrivacy) -> ErasureCounts:
        from raysync.models.privacy import Elsewhere

        elsewhere = Elsewhere(*map(frozenset, places))
        if user is not None:
            return await privacy.forget_user(await _ref(privacy, user), elsewhere, user)
        if channel is not None:
            return await privacy.forget_channel(_channel(channel), elsewhere)
        return await privacy.forget_all(elsewhere)

    return erase


def _undo(tenant: str, user: str | None, channel: int | None, *, as_json: bool) -> None:
    from raysync.store.schema.privacy_tables import SuppressedKind

    async def lift(privacy: TenantPrivacy) -> bool:
        if user is not None:
            return await privacy.undo(SuppressedKind.USER, await _ref(privacy, user))
        return await privacy.undo(SuppressedKind.CHANNEL, str(channel))

    if not asyncio.run(with_privacy(tenant, lift)):
        from raysync.errors import ConfigurationError

        raise ConfigurationError(
            f"{user or channel} was not forgotten, so there is nothing to undo. "
            f"`raysync forget --tenant {tenant} --list` shows what was."
        )
    if as_json:
        what = "user" if user is not None else "channel"
        print_json(json.dumps({"tenant": tenant, "what": what, "undone": True}, indent=2))
    suggest(
        "Later runs store it again. Read it again:",
        command_line("start", "--tenant", tenant, "--full"),
    )


async def _ref(privacy: TenantPrivacy, user: str) -> str:
    from raysync.settings import read_settings

    return await privacy.ref_of(user, read_settings())


def _channel(channel: int) -> Any:
    from raysync.models.ids import ChannelId

    return ChannelId(channel)


def _show(listed: Sequence[Suppression], as_json: bool) -> None:
    if as_json:
        print_json(json.dumps({"forgotten": [_as_json(entry) for entry in listed]}, indent=2))
        return
    if not listed:
        say("No user and no channel was forgotten.")
        return
    from raysync.cli.output.console import plain_table

    table = plain_table("entry", "kind", "who or what", "since", "erased")
    for entry in listed:
        erased = "unfinished: run it again" if entry.erased_at is None else _minute(entry.erased_at)
        table.add_row(
            str(entry.id), entry.kind, words.printable(entry.ref), _minute(entry.created_at), erased
        )
    out().print(table)


def _as_json(entry: Suppression) -> dict[str, Any]:
    return {
        "entry": entry.id,
        "kind": entry.kind,
        "ref": entry.ref,
        "since": entry.created_at.isoformat(),
        "erased_at": None if entry.erased_at is None else entry.erased_at.isoformat(),
    }


def _minute(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _sentence(counts: ErasureCounts, what: str) -> str:
    """Return what would be erased, or was erased, in the same words."""
    parts = [
        words.counted(counts.messages, "message"),
        words.counted(counts.versions, "earlier version"),
        words.counted(counts.reactions, "reaction"),
        words.counted(counts.attachments, "attachment"),
    ]
    if what == "user" or counts.mentions:
        parts.append(f"{words.counted(counts.mentions, 'mention')} in messages of others")
    if counts.files:
        parts.append(words.counted(counts.files, "file"))
    return ", ".join(parts)
