"""Command `raysync export`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, BinaryIO, assert_never

import typer

from raysync.cli.output import words
from raysync.cli.output.console import raw_stdout, say
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.output.private_file import private_file, target
from raysync.cli.output.streams import ReaderGoneError
from raysync.errors import RaysyncError

STDOUT = "-"


class ExportFormat(StrEnum):
    """Format of exported messages."""

    JSONL = "jsonl"  #: one JSON object a line


class ExportError(RaysyncError):
    """The output accepts no more data."""


def export(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Export this tenant.")],
    format_: Annotated[
        ExportFormat, typer.Option("--format", help="Write JSON lines: one message per line.")
    ] = ExportFormat.JSONL,
    output: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Write to this file, or to stdout for -.", show_default=True
        ),
    ] = STDOUT,
) -> None:
    """Write a tenant's messages as JSON lines.

    The lines are ordered by channel and message id, and show the archive at one moment. A file is
    written completely or not at all, and only its owner can read it.
    """
    if output == STDOUT:
        if not asyncio.run(_write(tenant, format_, raw_stdout())):
            _suggest_sync(tenant)
        return
    path = target(output)
    with private_file(path, ExportError) as file:
        lines = asyncio.run(_write(tenant, format_, file))
    say(f"{words.counted(lines, 'message')} written to {path}.")
    if not lines:
        _suggest_sync(tenant)


def _suggest_sync(slug: str) -> None:
    suggest(
        f"The archive of {slug} is empty, so no message was written. Sync it first:",
        command_line("start", "--tenant", slug),
    )


async def _write(slug: str, form: ExportFormat, file: BinaryIO) -> int:
    """Write the tenant's messages to *file*, and return the number of lines."""
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
                write_block(file, block)
                lines += block.count(b"\n")
    write_block(file, b"")
    return lines


def write_block(file: BinaryIO, block: bytes) -> None:
    """Write a block. Raises ExportError if the output accepts no more data."""
    try:
        file.write(block)
        file.flush()
    except BrokenPipeError:  # the reader of a pipe closes it when it has enough: no failure
        raise ReaderGoneError("The reader of the export has closed the pipe.") from None
    except OSError as error:
        raise ExportError(f"Cannot write the export: {error.strerror or error}.") from None
