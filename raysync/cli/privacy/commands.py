"""Commands `raysync privacy`: personal data, its retention, and pseudonyms."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from raysync.cli import options, params
from raysync.cli.confirmation import require_confirmation
from raysync.cli.export import STDOUT, ExportError, write_block
from raysync.cli.output import words
from raysync.cli.output.console import out, print_json, raw_stdout, say
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.output.private_file import private_file, target
from raysync.cli.output.streams import keep_exit_code
from raysync.cli.privacy.purge import purge
from raysync.cli.privacy.rescrub import rescrub
from raysync.cli.privacy.tenant_privacy import with_privacy

if TYPE_CHECKING:
    from raysync.models.privacy import Retention
    from raysync.privacy import TenantPrivacy

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Manage personal data, its retention and pseudonyms.",
)

_LABEL_WIDTH = 26
_LOWER_BOUND = "authors"
"""Number whose estimate is a lower bound."""
_Age = Annotated[
    timedelta | None,
    typer.Option(
        "--max-age",
        parser=params.duration_or_none,
        metavar="DURATION|none",
        help="Erase messages older than this, and never read them again. none keeps them for ever. "
        "[default: unchanged]",
    ),
]
_Deleted = Annotated[
    timedelta | None,
    typer.Option(
        "--purge-deleted-after",
        parser=params.duration_or_none,
        metavar="DURATION|none",
        help="Erase the content of a message this long after a run found it deleted on Discord. "
        "none never does. [default: unchanged]",
    ),
]


@app.command()
def show(
    tenant: Annotated[
        str, typer.Option(metavar="SLUG", help="Show the personal data of this tenant.")
    ],
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Count everything, which reads the tenant's whole archive. [default: estimate the "
            "numbers of a large one]",
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show which personal data is kept, how much, and for how long.

    The number of messages is always exact. Of a tenant with over 200,000 messages, other numbers
    are estimates, marked with "about", except for those that take less than a second to count. The
    number of authors is then a lower bound, marked with "at least".
    """
    shown = asyncio.run(
        with_privacy(tenant, lambda privacy: _shown(privacy, exact), only_looks=True)
    )
    if as_json:
        print_json(json.dumps(shown, indent=2))
        return
    for label, text in _labelled(shown):
        out().print(f"{label:<{_LABEL_WIDTH}}{words.printable(text)}", soft_wrap=True)


def _labelled(shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the values of ``--json`` as labels and texts."""
    from raysync.models.privacy import Retention

    rotate_command = command_line("privacy", "rotate", "--tenant", shown["tenant"])
    rescrub_command = command_line("privacy", "rescrub", "--tenant", shown["tenant"])
    yield "tenant", shown["tenant"]
    yield "authors are stored", shown["privacy"]
    rotations = words.counted(shown["key_generation"], "time")
    last = f", last at {_minute(shown['rotated_at'])}" if shown["rotated_at"] else ""
    yield "pseudonyms were changed", f"{rotations}{last}"
    if shown["rotation_unfinished"]:
        yield "the last change", f"is unfinished; continue it: {rotate_command}"
    if shown["rescrub_due"]:
        yield "older rows", f"follow earlier privacy rules; rewrite them: {rescrub_command}"
    users = words.counted(shown["forgotten_users"], "user")
    yield "forgotten", f"{users}, {words.counted(shown['forgotten_channels'], 'channel')}"
    if shown["erasures_unfinished"]:
        yield "unfinished erasures", words.count(shown["erasures_unfinished"])
    yield from _retained(Retention.of(shown["retention"]))
    for key, value in shown["kept"].items():
        if key.endswith("_at"):
            yield key.removesuffix("_at").replace("_", " "), _minute(value) if value else "none"
        elif key in shown["estimated"]:
            text = words.at_least(value) if key == _LOWER_BOUND else words.about(value)
            yield key.replace("_", " "), text
        else:
            yield key.replace("_", " "), words.count(value)
    if shown["estimated"]:
        exact_command = command_line("privacy", "show", "--tenant", shown["tenant"], "--exact")
        yield "exact numbers", f"{exact_command} (reads the whole archive)"


def _minute(iso: str) -> str:
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


async def _shown(privacy: TenantPrivacy, is_exact: bool) -> dict[str, Any]:
    from raysync.models.privacy import Retention
    from raysync.store.privacy.overview import kept_of

    tenant, listed = privacy.tenant, await privacy.suppressions()
    generations, scrubbing = await privacy.generations(), await privacy.scrubbing()
    kept = await kept_of(privacy.engine, tenant.id, is_exact=is_exact)
    return {
        "tenant": tenant.slug,
        "privacy": tenant.privacy.value,
        "key_generation": generations.generation,
        "rotated_at": _iso(generations.rotated_at),
        "rotation_unfinished": generations.is_unfinished,
        "scrubbing_rules": scrubbing.rules,
        "rescrub_due": scrubbing.is_due,
        "forgotten_users": sum(entry.kind == "user" for entry in listed),
        "forgotten_channels": sum(entry.kind == "channel" for entry in listed),
        "erasures_unfinished": sum(entry.erased_at is None for entry in listed),
        "retention": Retention.of(tenant.settings).settings(),
        "kept": {
            key: _iso(value) if key.endswith("_at") else value for key, value in kept.values.items()
        },
        "estimated": [key for key in kept.values if key in kept.estimated],
    }


@app.command()
def retention(
    tenant: Annotated[
        str, typer.Option(metavar="SLUG", help="Show or change the retention of this tenant.")
    ],
    max_age: _Age = None,
    purge_deleted_after: _Deleted = None,
    as_json: options.AsJson = False,
) -> None:
    """Show how long messages are kept, or change it.

    The retention applies at the end of each run, and with `raysync privacy purge`.
    """

    async def change(privacy: TenantPrivacy) -> Retention:
        from raysync.models.privacy import Retention

        retention = Retention.of(privacy.tenant.settings)
        if max_age is None and purge_deleted_after is None:
            return retention
        if max_age is not None:
            retention = replace(retention, max_age=params.length_of(max_age))
        if purge_deleted_after is not None:
            retention = replace(
                retention, purge_deleted_after=params.length_of(purge_deleted_after)
            )
        await privacy.retain(retention)
        return retention

    is_change = max_age is not None or purge_deleted_after is not None
    if is_change:
        keep_exit_code()
    chosen = asyncio.run(with_privacy(tenant, change, only_looks=not is_change))
    if as_json:
        print_json(json.dumps({"tenant": tenant, **chosen.settings()}, indent=2))
        return
    for label, text in _retained(chosen):
        out().print(f"{label:<{_LABEL_WIDTH}}{text}")
    if is_change:
        suggest(
            "The next run applies it. Apply it now:",
            command_line("privacy", "purge", "--tenant", tenant),
        )


def _retained(kept: Retention) -> Iterator[tuple[str, str]]:
    yield "messages are kept", _length(kept.max_age, "for ever")
    yield "deleted ones are emptied", _length(kept.purge_deleted_after, "never", "after ")


def _length(length: timedelta | None, none: str, before: str = "") -> str:
    if length is None:
        return none
    whole_days = length == timedelta(length.days)
    return f"{before}{words.counted(length.days, 'day') if whole_days else length}"


@app.command()
def rotate(
    tenant: Annotated[
        str, typer.Option(metavar="SLUG", help="Rotate the pseudonyms of this tenant.")
    ],
) -> None:
    """Give everybody a new pseudonym, in all stored data.

    Without the key nobody can link old and new pseudonyms. If interrupted, run the same command
    again to continue.
    """
    from raysync.settings import read_settings

    settings = read_settings()
    generation = asyncio.run(with_privacy(tenant, lambda privacy: privacy.rotate(settings)))
    say(f"Everybody in {tenant} has a new pseudonym (generation {generation}).")


app.command()(purge)
app.command()(rescrub)


@app.command("accept-key")
def accept_key(
    tenant: Annotated[
        str, typer.Option(metavar="SLUG", help="Accept the new key for this tenant.")
    ],
    yes: options.Yes = False,
) -> None:
    """Continue under a new secret key, after the old one was lost.

    From the next run on, everybody has another pseudonym than in the stored data. Users who were
    forgotten are not recognized: forget them again by their ids.
    """
    from raysync.settings import read_settings

    settings = read_settings()
    require_confirmation(f"Give up the key of the pseudonyms of {tenant} permanently?", yes=yes)
    if asyncio.run(with_privacy(tenant, lambda privacy: privacy.accept_key(settings))):
        say(f"{tenant} continues under this key.")
    else:
        say(f"The pseudonyms of {tenant} already use this key, so there is nothing to accept.")


@app.command()
def export(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Export data of this tenant.")],
    user: Annotated[
        str,
        typer.Option(
            parser=params.person,
            metavar="ID",
            help="Export this user, by Discord id or pseudonym (u_…).",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Write to this file, or to stdout for -.", show_default=True
        ),
    ] = STDOUT,
    mentions: Annotated[
        bool,
        typer.Option("--mentions", help="Also list where others mention them, without the text."),
    ] = False,
) -> None:
    """Write all data of one user as JSON lines.

    That is their messages, with earlier versions and attachments, then the reactions they gave.
    """
    if output == STDOUT:
        stdout = raw_stdout()
        asyncio.run(with_privacy(tenant, lambda privacy: _write(privacy, user, stdout, mentions)))
        return
    path = target(output)
    with private_file(path, ExportError) as file:
        lines = asyncio.run(
            with_privacy(tenant, lambda privacy: _write(privacy, user, file, mentions))
        )
    say(f"{words.counted(lines, 'line')} written to {path}.")


async def _write(privacy: TenantPrivacy, user: str, file: BinaryIO, mentions: bool) -> int:
    from raysync.settings import read_settings

    lines = 0
    ref = await privacy.ref_of(user, read_settings())
    async with aclosing(privacy.export(ref, user, with_mentions=mentions)) as blocks:
        async for block in blocks:
            write_block(file, block)
            lines += block.count(b"\n")
    write_block(file, b"")
    return lines


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
