"""`raysync export`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, assert_never

import typer

from raysync.cli import words
from raysync.cli.console import say
from raysync.errors import ConfigurationError, RaysyncError

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
    at all.
    """
    if output == STDOUT:
        asyncio.run(_write(tenant, format_, sys.stdout.buffer))
        return
    path = target(output)
    with whole_file(path) as file:
        lines = asyncio.run(_write(tenant, format_, file))
    say(f"{words.counted(lines, 'message')} written to {path}.")


async def _write(slug: str, form: ExportFormat, file: BinaryIO) -> int:
    """Write the tenant's messages to *file*, and say how many lines that made."""
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.export import export_lines
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
    except BrokenPipeError:  # the reader has had enough, and says so by leaving
        raise
    except OSError as error:
        raise ExportError(f"Cannot write the export: {error.strerror or error}.") from None


def target(output: str) -> Path:
    """The file that is meant. Raises ConfigurationError where it cannot be written."""
    try:
        path = Path(output).expanduser().resolve()
        is_directory = path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a zero byte
        raise ConfigurationError(f"Cannot write to {output}: {error}.") from None
    if is_directory:
        raise ConfigurationError(f"Cannot write to {path}: it is a directory.")
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of *path* when all went well; until then nothing is touched."""
    if path.exists() and not path.is_file():  # a pipe or a device: nothing to replace
        with _opened(path) as file:
            yield file
        return
    draft = path.with_name(f".raysync-export.{os.getpid()}.part")
    try:
        with _opened(draft) as file:
            yield file
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise ExportError(f"Cannot write {path}: {error.strerror or error}.") from None
    finally:
        draft.unlink(missing_ok=True)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise ConfigurationError(f"Cannot write in {path.parent}: {error.strerror}.") from None
