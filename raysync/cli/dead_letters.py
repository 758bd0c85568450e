"""`raysync dead-letters`: channels that were given up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysync.cli import options, params
from raysync.cli.output import words
from raysync.cli.output.console import out, say, tell_json
from raysync.cli.output.hints import invocation
from raysync.cli.runs.start import exit_code, run
from raysync.cli.runs.start import show as show_result

if TYPE_CHECKING:
    from raysync.models.records import DeadLetter

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Channels that were given up.")

_Slug = Annotated[str, typer.Option("--tenant", metavar="SLUG", help="Whose.")]
_Channels = Annotated[
    list[int] | None,
    typer.Option(
        "--channel",
        parser=params.snowflake,
        metavar="ID",
        help="This channel alone; may be repeated. [default: all]",
    ),
]


@app.command("list")
def list_(
    tenant: _Slug,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List them: a channel stays until it is read to its end."""
    letters = asyncio.run(_letters(tenant))
    if as_json:
        tell_json(json.dumps({"dead_letters": [_as_json(each) for each in letters]}, indent=2))
        return
    if not letters:
        say(f"{tenant} has no dead letters.")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("channel", "id", "class", "attempts", "last", "why"):
        table.add_column(column, overflow="fold")
    for each in letters:
        table.add_row(
            words.printable(each.name),
            str(each.channel_id),
            each.failure_class.value,
            words.count(each.attempts),
            f"{each.last_seen_at:%Y-%m-%d %H:%M}",
            words.printable(each.message),
        )
    out().print(table)
    say(f"Try them again: {invocation()} dead-letters retry --tenant {tenant}")


@app.command()
def show(
    tenant: _Slug,
    channel: Annotated[
        int, typer.Option("--channel", parser=params.snowflake, metavar="ID", help="Which.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show all that is known of one."""
    (letter,) = _chosen(asyncio.run(_letters(tenant)), [channel])
    if as_json:
        tell_json(json.dumps(_as_json(letter), indent=2))
        return
    for name, value in _as_json(letter).items():
        out().print(f"{name:<14} {words.printable(str(value))}", markup=False, highlight=False)


@app.command()
def retry(
    tenant: _Slug,
    channel: _Channels = None,
    as_json: options.ResultAsJson = False,
) -> None:
    """Sync them now, those too that are to be left alone for some days.

    Exit codes: as of `raysync start`.
    """
    letters = _chosen(asyncio.run(_letters(tenant)), channel or ())
    if not letters:
        say(f"{tenant} has no dead letters.")
        return
    from raysync.run.requests import SyncRequest

    channels = frozenset(each.channel_id for each in letters)
    request = SyncRequest(tenants=(tenant,), channels=channels)
    result = run(request)
    show_result(result, as_json=as_json, request=request)
    raise typer.Exit(exit_code(result))


def _chosen(letters: Sequence[DeadLetter], channels: Sequence[int]) -> Sequence[DeadLetter]:
    known = {each.channel_id: each for each in letters}
    unknown = [each for each in channels if each not in known]
    if unknown:
        from raysync.errors import ConfigurationError

        raise ConfigurationError(
            f"Channel {unknown[0]} is no dead letter: `raysync dead-letters list` shows them."
        )
    return [known[each] for each in channels] if channels else letters  # type: ignore[index]


async def _letters(slug: str) -> Sequence[DeadLetter]:
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.archive.dead_letters import DeadLetterStore
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        tenant = await TenantStore(engine).get(slug)
        return await DeadLetterStore(engine, tenant.id).list()


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    values = asdict(letter)
    return values | {
        "channel_id": str(letter.channel_id),
        "first_seen_at": letter.first_seen_at.isoformat(),
        "last_seen_at": letter.last_seen_at.isoformat(),
    }
