"""`raysync privacy`: what is kept of people, for how long, and under which names."""

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
from raysync.cli.export import STDOUT, ExportError, put
from raysync.cli.output import words
from raysync.cli.output.console import out, raw_stdout, say, tell_json
from raysync.cli.output.hints import invocation
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
    help="What is kept of people, for how long, and under which names.",
)

_LABEL_WIDTH = 26
_Slug = Annotated[str, typer.Option("--tenant", metavar="SLUG", help="Whose archive.")]
_Age = Annotated[
    timedelta | None,
    typer.Option(
        "--max-age",
        parser=params.duration_or_none,
        metavar="DURATION|none",
        help="Erase messages older than that, and never read them again; none: keep them.",
    ),
]
_Deleted = Annotated[
    timedelta | None,
    typer.Option(
        "--purge-deleted-after",
        parser=params.duration_or_none,
        metavar="DURATION|none",
        help="Empty messages so long after they were found deleted on Discord; none: never.",
    ),
]


@app.command()
def show(tenant: _Slug, as_json: options.AsJson = False) -> None:
    """Show what is kept of people: which kinds of data, how much, for how long."""
    shown = asyncio.run(with_privacy(tenant, _shown))
    if as_json:
        tell_json(json.dumps(shown, indent=2))
        return
    for label, text in _in_words(shown):
        out().print(f"{label:<{_LABEL_WIDTH}}{words.printable(text)}", soft_wrap=True)


def _in_words(shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What `--json` tells, as labels and texts."""
    from raysync.models.privacy import Retention

    again = f"{invocation()} privacy rotate --tenant {shown['tenant']}"
    rescrub_it = f"{invocation()} privacy rescrub --tenant {shown['tenant']}"
    yield "tenant", shown["tenant"]
    yield "people are kept", shown["privacy"]
    anew = words.counted(shown["key_generation"], "time")
    last = f", last at {_minute(shown['rotated_at'])}" if shown["rotated_at"] else ""
    yield "pseudonyms were changed", f"{anew}{last}"
    if shown["rotation_unfinished"]:
        yield "the last change", f"was cut short; go on with: {again}"
    if shown["rescrub_due"]:
        yield "rows of before", f"were kept under earlier rules; bring them up: {rescrub_it}"
    users = words.counted(shown["forgotten_users"], "user")
    yield "forgotten", f"{users}, {words.counted(shown['forgotten_channels'], 'channel')}"
    if shown["erasures_unfinished"]:
        yield "erasures cut short", words.count(shown["erasures_unfinished"])
    yield from _retained(Retention.of(shown["retention"]))
    for key, value in shown["kept"].items():
        if key.endswith("_at"):
            yield key.removesuffix("_at").replace("_", " "), _minute(value) if value else "none"
        else:
            yield key.replace("_", " "), words.count(value)


def _minute(iso: str) -> str:
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


async def _shown(office: TenantPrivacy) -> dict[str, Any]:
    from raysync.models.privacy import Retention
    from raysync.store.privacy.overview import kept_of

    tenant, listed = office.tenant, await office.suppressions()
    generations, scrubbing = await office.generations(), await office.scrubbing()
    kept = await kept_of(office.engine, tenant.id)
    return {
        "tenant": tenant.slug,
        "privacy": tenant.privacy.value,
        "key_generation": generations.generation,
        "rotated_at": _iso(generations.rotated_at),
        "rotation_unfinished": generations.is_unfinished,
        "scrubbing_rules": scrubbing.rules,
        "rescrub_due": scrubbing.is_due,
        "forgotten_users": sum(each.kind == "user" for each in listed),
        "forgotten_channels": sum(each.kind == "channel" for each in listed),
        "erasures_unfinished": sum(each.erased_at is None for each in listed),
        "retention": Retention.of(tenant.settings).settings(),
        "kept": {key: _iso(value) if key.endswith("_at") else value for key, value in kept.items()},
    }


@app.command()
def retention(
    tenant: _Slug,
    max_age: _Age = None,
    purge_deleted_after: _Deleted = None,
    as_json: options.AsJson = False,
) -> None:
    """Say how long messages are kept; without an option, show it.

    It applies at the end of each run, and with `raysync privacy purge`.
    """

    async def change(office: TenantPrivacy) -> Retention:
        from raysync.models.privacy import Retention

        now = Retention.of(office.tenant.settings)
        if max_age is None and purge_deleted_after is None:
            return now
        if max_age is not None:
            now = replace(now, max_age=params.length_of(max_age))
        if purge_deleted_after is not None:
            now = replace(now, purge_deleted_after=params.length_of(purge_deleted_after))
        await office.retain(now)
        return now

    if max_age is not None or purge_deleted_after is not None:
        keep_exit_code()
    kept = asyncio.run(with_privacy(tenant, change))
    if as_json:
        tell_json(json.dumps({"tenant": tenant, **kept.settings()}, indent=2))
        return
    for label, text in _retained(kept):
        out().print(f"{label:<{_LABEL_WIDTH}}{text}")
    if max_age is not None or purge_deleted_after is not None:
        say(f"Applied by the next run, or now: {invocation()} privacy purge --tenant {tenant}")


def _retained(kept: Retention) -> Iterator[tuple[str, str]]:
    yield "messages are kept", _told(kept.max_age, "for ever")
    yield "deleted ones are emptied", _told(kept.purge_deleted_after, "never", "after ")


def _told(length: timedelta | None, none: str, before: str = "") -> str:
    if length is None:
        return none
    whole_days = length == timedelta(length.days)
    return f"{before}{words.counted(length.days, 'day') if whole_days else length}"


@app.command()
def rotate(tenant: _Slug) -> None:
    """Give everybody another pseudonym, in all that is stored.

    Nobody without the key can tell which new one was which old one. What was cut short is gone on
    with by the same command.
    """
    from raysync.settings import read_settings

    settings = read_settings()
    generation = asyncio.run(with_privacy(tenant, lambda office: office.rotate(settings)))
    say(f"Everybody in {tenant} has another pseudonym now (generation {generation}).")


app.command()(purge)
app.command()(rescrub)


@app.command("accept-key")
def accept_key(
    tenant: _Slug,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Go on under another secret key, because the one before is lost.

    From the next run on everybody has another pseudonym than in what is stored, and those who
    were forgotten are not recognized: forget them again by their ids.
    """
    from raysync.settings import read_settings

    settings = read_settings()
    require_confirmation(
        f"Give up the key that the pseudonyms of {tenant} were made under, for good?", yes=yes
    )
    if asyncio.run(with_privacy(tenant, lambda office: office.accept_key(settings))):
        say(f"{tenant} goes on under this key.")
    else:
        say(f"The pseudonyms of {tenant} were made under this key: there is nothing to accept.")


@app.command()
def export(
    tenant: _Slug,
    user: Annotated[
        str,
        typer.Option(
            parser=params.person, metavar="ID", help="Discord's id, or the pseudonym (u_…)."
        ),
    ],
    output: Annotated[
        str, typer.Option(metavar="FILE", help="Where to; - is stdout.", show_default=True)
    ] = STDOUT,
    mentions: Annotated[
        bool, typer.Option("--mentions", help="Also say where others name them, and not what.")
    ] = False,
) -> None:
    """Write out all that is kept of one user, as JSON lines.

    Their messages, with earlier versions and attachments, then the reactions they gave.
    """
    if output == STDOUT:
        stdout = raw_stdout()
        asyncio.run(with_privacy(tenant, lambda office: _write(office, user, stdout, mentions)))
        return
    path = target(output)
    with private_file(path, ExportError) as file:
        lines = asyncio.run(
            with_privacy(tenant, lambda office: _write(office, user, file, mentions))
        )
    say(f"{words.counted(lines, 'line')} written to {path}.")


async def _write(office: TenantPrivacy, user: str, file: BinaryIO, mentions: bool) -> int:
    from raysync.settings import read_settings

    lines = 0
    ref = await office.ref_of(user, read_settings())
    async with aclosing(office.export(ref, user, with_mentions=mentions)) as blocks:
        async for block in blocks:
            put(file, block)
            lines += block.count(b"\n")
    put(file, b"")
    return lines


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
