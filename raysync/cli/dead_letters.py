"""Commands `raysync dead-letters`: channels that a run gave up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysync.cli import options, params
from raysync.cli.output import words
from raysync.cli.output.console import out, print_json, say
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.runs.start import exit_code, run
from raysync.cli.runs.start import show as show_result

if TYPE_CHECKING:
    from raysync.models.records import DeadLetter

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show and retry dead letters: channels that a run gave up.",
)

_Channels = Annotated[
    list[int] | None,
    typer.Option(
        "--channel",
        parser=params.snowflake,
        metavar="ID",
        help="Retry only this channel. Repeat it for several. [default: all]",
    ),
]


@app.command("list")
def list_(
    tenant: Annotated[
        str, typer.Option(metavar="SLUG", help="List the dead letters of this tenant.")
    ],
    as_json: options.AsJson = False,
) -> None:
    """List the channels that were given up.

    A channel stays in the list until a run has read it to its end.
    """
    letters = asyncio.run(_letters(tenant))
    if as_json:
        print_json(json.dumps({"dead_letters": [_as_json(letter) for letter in letters]}, indent=2))
        return
    if not letters:
        say(f"{tenant} has no dead letters: no channel was given up.")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("channel", "id", "class", "attempts", "last", "why"):
        table.add_column(column, overflow="fold")
    for letter in letters:
        table.add_row(
            words.printable(letter.name),
            str(letter.channel_id),
            letter.failure_class.value,
            words.count(letter.attempts),
            f"{letter.last_seen_at:%Y-%m-%d %H:%M}",
            words.printable(letter.message),
        )
    out().print(table)
    suggest("Retry them:", command_line("dead-letters", "retry", "--tenant", tenant))


@app.command()
def show(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Show a dead letter of this tenant.")],
    channel: Annotated[
        int,
        typer.Option("--channel", parser=params.snowflake, metavar="ID", help="Show this channel."),
    ],
    as_json: options.AsJson = False,
) -> None:
    """Show why one channel was given up."""
    (letter,) = _chosen(asyncio.run(_letters(tenant)), [channel])
    if as_json:
        print_json(json.dumps(_as_json(letter), indent=2))
        return
    for name, value in _as_json(letter).items():
        out().print(f"{name:<14} {words.printable(str(value))}", markup=False, highlight=False)


@app.command()
def retry(
    tenant: Annotated[
        str, typer.Option(metavar="SLUG", help="Retry the dead letters of this tenant.")
    ],
    channel: _Channels = None,
    as_json: options.ResultAsJson = False,
) -> None:
    """Retry the channels now, even those in their cooldown (3 days after Discord refused them).

    Exit codes: as for `raysync start`.
    """
    letters = _chosen(asyncio.run(_letters(tenant)), channel or ())
    if not letters:
        say(f"{tenant} has no dead letters: no channel was given up.")
        return
    from raysync.run.requests import SyncRequest

    channels = frozenset(letter.channel_id for letter in letters)
    request = SyncRequest(tenants=(tenant,), channels=channels)
    result = run(request)
    show_result(result, as_json=as_json, request=request)
    raise typer.Exit(exit_code(result))


def _chosen(letters: Sequence[DeadLetter], channels: Sequence[int]) -> Sequence[DeadLetter]:
    known: dict[int, DeadLetter] = {letter.channel_id: letter for letter in letters}
    unknown = [channel_id for channel_id in channels if channel_id not in known]
    if unknown:
        from raysync.errors import ConfigurationError

        raise ConfigurationError(
            f"Channel {unknown[0]} is no dead letter. `raysync dead-letters list` shows those "
            "there are."
        )
    return [known[channel_id] for channel_id in channels] if channels else letters


async def _letters(slug: str) -> Sequence[DeadLetter]:
    from raysync.database import LOOK_TIMEOUT_S, open_store
    from raysync.settings import read_settings
    from raysync.store.archive.dead_letters import DeadLetterStore
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings(), timeout_s=LOOK_TIMEOUT_S) as engine:
        tenant = await TenantStore(engine).get(slug)
        return await DeadLetterStore(engine, tenant.id).list()


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    values = asdict(letter)
    return values | {
        "channel_id": str(letter.channel_id),
        "first_seen_at": letter.first_seen_at.isoformat(),
        "last_seen_at": letter.last_seen_at.isoformat(),
    }
