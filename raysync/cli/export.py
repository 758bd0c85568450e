"""`raysync export`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, BinaryIO, assert_never

import typer

from raysync.cli.output import words
from raysync.cli.output.console import raw_stdout, say
from raysync.cli.output.private_file import private_file, target
from raysync.cli.output.streams import ReaderGoneError
from raysync.errors import RaysyncError

STDOUT = "-"


class ExportFormat(StrEnum):
    """How messages are written."""

    JSONL = "jsonl"  #: one JSON object a line


class ExportError(RaysyncError):
    """The output cannot take any more."""


def export(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Whose messages.")],
    format_: Annotated[
        ExportFormat, typer.Option("--format", help="jsonl: one JSON object a line.")
    ],
    output: Annotated[
        str, typer.Option(metavar="FILE", help="Where to; - is stdout.", show_default=True)
    ] = STDOUT,
) -> None:
    """Write out a tenant's messages, one a line.

    In the order of channel and message id, the state of one moment. A file appears whole or not
    at all, and is its owner's alone.
    """
    if output == STDOUT:
        asyncio.run(_write(tenant, format_, raw_stdout()))
        return
    path = target(output)
    with private_file(path, ExportError) as file:
        lines = asyncio.run(_write(tenant, format_, file))
    say(f"{words.counted(lines, 'message')} written to {path}.")


async def _write(slug: str, form: ExportFormat, file: BinaryIO) -> int:
    """Write the tenant's messages to *file*, and say how many lines that made."""
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.archive.export import export_lines
    from raysync.store.tenants import TenantStore

    match form:
        case ExportFormat.JSONL:
            blocks_of = export_lines
        case _:
            assert_never(form)

    lines = 0
    async with open_store(read_settings()) as engine:
        tenant = await TenantStore(engine).get(slug)
        async with aclosing(blocks_of(engine, tenant.id)) as blocks:
            async for block in blocks:
                put(file, block)
                lines += block.count(b"\n")
    put(file, b"")
    return lines


def put(file: BinaryIO, block: bytes) -> None:
    """Write a block. Raises ExportError where the output takes no more."""
    try:
        file.write(block)
        file.flush()
    except BrokenPipeError:  # the reader of a pipe has had enough, and says so by leaving
        raise ReaderGoneError("Nobody reads the export any more.") from None
    except OSError as error:
        raise ExportError(f"Cannot write the export: {error.strerror or error}.") from None
