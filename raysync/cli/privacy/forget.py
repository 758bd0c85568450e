"""`raysync forget`: erase, and keep out."""

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
from raysync.cli.output.console import out, say, tell_json
from raysync.cli.output.hints import invocation
from raysync.cli.output.streams import keep_exit_code
from raysync.cli.privacy.tenant_privacy import with_privacy

if TYPE_CHECKING:
    from raysync.models.privacy import ErasureCounts, Suppression
    from raysync.privacy import TenantPrivacy


_Moved = Annotated[
    list[str] | None,
    typer.Option(
        "--attachments",
        parser=params.place,
        metavar="DIR-or-URL",
        help="Remove bytes there, too, if they were moved; may be repeated. "
        "[default: where runs were told to keep them]",
    ),
]
_Gone = Annotated[
    list[str] | None,
    typer.Option(
        "--without-place",
        metavar="DIR-or-URL",
        help="Look for no bytes there: the place is gone for good; may be repeated.",
    ),
]


def forget(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Whose archive.")],
    user: Annotated[
        str | None,
        typer.Option(
            parser=params.person,
            metavar="ID",
            help="Erase this user: Discord's id, or the pseudonym (u_…).",
        ),
    ] = None,
    channel: Annotated[
        int | None,
        typer.Option(
            parser=params.snowflake, metavar="ID", help="Erase this channel and its threads."
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Erase the tenant: messages, files, token, all.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="List who and what was forgotten, and is kept out.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="With --user or --channel: keep out no longer.")
    ] = False,
    attachments: _Moved = None,
    without_places: _Gone = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Erase what was stored of a user, a channel or a whole tenant, and keep it out.

    Without --yes it shows first what would go. No later run brings anything back; --undo lifts
    that, and the next `raysync start --full` then reads it again. What was cut short is gone on
    with by the same command.
    """
    if (user is not None) + (channel is not None) + all_ + list_ != 1:
        raise typer.BadParameter("give exactly one of --user, --channel, --all and --list.")
    if undo and user is None and channel is None:
        raise typer.BadParameter("--undo takes --user or --channel.")
    if (list_ or undo) and (attachments or without_places):
        raise typer.BadParameter("--attachments and --without-place are for erasing.")
    if list_:
        _show(asyncio.run(with_privacy(tenant, lambda office: office.suppressions())), as_json)
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
        what, told = "user", f"the user {user} from {tenant}"
    elif channel is not None:
        named = words.channel(asyncio.run(with_privacy(tenant, _name_of(channel))), channel)
        what, told = "channel", f"{named} and its threads from {tenant}"
    else:
        what, told = "tenant", f"the whole tenant {tenant}, its token and its files"
    if not yes:
        would = asyncio.run(with_privacy(tenant, _counting(user, channel, places)))
        say(f"This would erase {_sentence(would, what)}.")
    require_confirmation(f"Erase {told}, for good?", yes=yes)
    erased = asyncio.run(with_privacy(tenant, _erasing(user, channel, places)))
    if as_json:
        shown = {"tenant": tenant, "what": what, "erased": asdict(erased)}
        tell_json(json.dumps(shown, indent=2))
        return
    say(f"Erased: {_sentence(erased, what)}.")
    if what != "tenant":
        say("Later runs leave it out. Backups of the database and of the files have it still.")


def _name_of(channel: int) -> Callable[[TenantPrivacy], Awaitable[str | None]]:
    async def look_up(office: TenantPrivacy) -> str | None:
        from raysync.store.archive.channels import ChannelStore

        store = ChannelStore(office.engine, office.tenant.id)
        return (await store.names([_channel(channel)])).get(_channel(channel))

    return look_up


def _counting(
    user: str | None, channel: int | None, places: tuple[Sequence[str], Sequence[str]]
) -> Callable[[TenantPrivacy], Awaitable[ErasureCounts]]:
    async def count(office: TenantPrivacy) -> ErasureCounts:
        from raysync.models.privacy import Elsewhere

        elsewhere = Elsewhere(*map(frozenset, places))
        if user is not None:
            return await office.count_user(await _ref(office, user), user, elsewhere)
        if channel is not None:
            return await office.count_channel(_channel(channel), elsewhere)
        return await office.count_all(elsewhere)

    return count


def _erasing(
    user: str | None, channel: int | None, places: tuple[Sequence[str], Sequence[str]]
) -> Callable[[TenantPrivacy], Awaitable[ErasureCounts]]:
    async def erase(office: TenantPrivacy) -> ErasureCounts:
        from raysync.models.privacy import Elsewhere

        elsewhere = Elsewhere(*map(frozenset, places))
        if user is not None:
            return await office.forget_user(await _ref(office, user), elsewhere, user)
        if channel is not None:
            return await office.forget_channel(_channel(channel), elsewhere)
        return await office.forget_all(elsewhere)

    return erase


def _undo(tenant: str, user: str | None, channel: int | None, *, as_json: bool) -> None:
    from raysync.store.schema.privacy_tables import SuppressedKind

    async def lift(office: TenantPrivacy) -> bool:
        if user is not None:
            return await office.undo(SuppressedKind.USER, await _ref(office, user))
        return await office.undo(SuppressedKind.CHANNEL, str(channel))

    if not asyncio.run(with_privacy(tenant, lift)):
        from raysync.errors import ConfigurationError

        raise ConfigurationError(
            f"{user or channel} was not forgotten: `raysync forget --tenant {tenant} --list` "
            "shows who and what was."
        )
    if as_json:
        what = "user" if user is not None else "channel"
        tell_json(json.dumps({"tenant": tenant, "what": what, "undone": True}, indent=2))
    say(f"Kept out no longer. Read it again with: {invocation()} start --tenant {tenant} --full")


async def _ref(office: TenantPrivacy, user: str) -> str:
    from raysync.settings import read_settings

    return await office.ref_of(user, read_settings())


def _channel(channel: int) -> Any:
    from raysync.models.ids import ChannelId

    return ChannelId(channel)


def _show(listed: Sequence[Suppression], as_json: bool) -> None:
    if as_json:
        tell_json(json.dumps({"forgotten": [_as_json(each) for each in listed]}, indent=2))
        return
    if not listed:
        say("Nobody and nothing was forgotten.")
        return
    from raysync.cli.output.console import plain_table

    table = plain_table("entry", "kind", "who or what", "since", "erased")
    for each in listed:
        erased = "not to its end: run it again" if each.erased_at is None else _day(each.erased_at)
        table.add_row(
            str(each.id), each.kind, words.printable(each.ref), _day(each.created_at), erased
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


def _day(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _sentence(counts: ErasureCounts, what: str) -> str:
    """Return what would be erased, or was, in the same words."""
    parts = [
        words.counted(counts.messages, "message"),
        words.counted(counts.versions, "earlier version"),
        words.counted(counts.reactions, "reaction"),
        words.counted(counts.attachments, "attachment"),
    ]
    if what == "user" or counts.mentions:
        parts.append(f"{words.counted(counts.mentions, 'mention')} in what others wrote")
    if counts.files:
        parts.append(words.counted(counts.files, "file"))
    return ", ".join(parts)
