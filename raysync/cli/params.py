"""Reads what users type as option values. Whatever cannot be used is a usage error: exit 2."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import typer

from raysync.models.privacy import PSEUDONYM
from raysync.models.secret_texts import looks_like_token

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_SIZE: Final = re.compile(r"(\d{1,12}(?:\.\d{1,3})?)\s*([kmg]?)b?", re.ASCII)
_SIZE_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9.+-]+/(?:\*|[a-z0-9.+-]+)", re.ASCII)
_MAX_DURATION: Final = timedelta(days=36_525)
_NONE: Final = timedelta(-1)
_PSEUDONYM: Final = re.compile(PSEUDONYM)
_MAX_SNOWFLAKE: Final = (1 << 63) - 1
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def duration(text: str | timedelta) -> timedelta:
    """Read ``7d``, ``12h``, ``30m``, ``45s``, ``2w`` or ``0``. A default comes in as it is."""
    if isinstance(text, timedelta):
        return text
    if text.strip() == "0":
        return timedelta(0)
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not a duration: a number and s, m, h, d or w, as in 7d, 12h or 30m, or 0."
        )
    length = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if length > _MAX_DURATION:
        raise typer.BadParameter(f"{text!r} is more than a hundred years.")
    return length


def duration_or_none(text: str | timedelta) -> timedelta:
    """Read a duration, or ``none``, which `length_of` tells from one that was not given.

    Nothing is kept for no time at all: 0 is refused.
    """
    if isinstance(text, timedelta):
        return text
    if text.strip().lower() == "none":
        return _NONE
    length = duration(text)
    if not length:
        raise typer.BadParameter("0 would keep nothing: give a duration such as 365d, or none.")
    return length


def length_of(given: timedelta) -> timedelta | None:
    """What `duration_or_none` read; None for none."""
    return None if given == _NONE else given


def person(text: str) -> str:
    """Read a user's id, or a pseudonym."""
    if _PSEUDONYM.fullmatch(text.strip()):
        return text.strip()
    try:
        return str(snowflake(text))
    except typer.BadParameter:
        raise typer.BadParameter(
            "That is neither a Discord id (a number) nor a pseudonym (u_ and 26 characters)."
        ) from None


def place(text: str) -> str:
    """Read a folder, made absolute, or a URL, as it is."""
    if not text.strip():
        raise typer.BadParameter("Name a folder, or an address such as s3://bucket/path.")
    if "://" in text or "::" in text:
        return text
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError as error:  # ~nobody
        raise typer.BadParameter(f"That folder cannot be used: {error}.") from None


def size(text: str | int) -> int:
    """Read ``25MB``, ``1.5GB``, ``500kB`` or a number of bytes."""
    if isinstance(text, int):
        return text
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not a size: a number and kB, MB or GB, as in 25MB, or bytes."
        )
    return int(float(match[1]) * _SIZE_UNITS[match[2] or ""])


def media_type(text: str) -> str:
    """Read a media type, ``image/png``, or all of a kind, ``image/*``."""
    if not _MEDIA_TYPE.fullmatch(text.strip().lower()):
        raise typer.BadParameter(f"{text!r} is not a media type, such as image/png or image/*.")
    return text.strip().lower()


def moment(text: str | datetime) -> datetime:
    """Read an ISO 8601 date, or date and time. Without an offset it is UTC."""
    if isinstance(text, datetime):
        return text
    try:
        read = datetime.fromisoformat(text.strip())
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not an ISO date, such as 2026-01-31, 2026-01-31T18:00 (UTC) "
            "or 2026-01-31T18:00+02:00."
        ) from None


def snowflake(text: str | int) -> int:
    """Read one of Discord's ids."""
    if isinstance(text, int):
        return text
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:20]) <= _MAX_SNOWFLAKE):
        raise typer.BadParameter(
            "That is not one of Discord's ids, which are numbers: turn on Developer Mode in "
            "Discord, and copy the id from the context menu."
        )
    return int(digits)


def variable_name(text: str) -> str:
    """Read the name of an environment variable; a token in its place is refused, not repeated."""
    _refuse_token(text, "--token-env takes the NAME of an environment variable that holds it")
    if not _VARIABLE.fullmatch(text):
        raise typer.BadParameter(
            "That is not the name of an environment variable (letters, digits, _)."
        )
    return text


def token_file(text: str | Path) -> Path:
    """Read the path of a token file; a token in its place is refused, not repeated."""
    _refuse_token(str(text), "--token-file takes the PATH of a file that holds it")
    try:
        path = Path(text).expanduser().absolute()
        is_there, is_directory = path.exists(), path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a zero byte
        raise typer.BadParameter(f"That path cannot be used: {error}.") from None
    if is_directory:
        raise typer.BadParameter(f"{path} is a directory.")
    if not is_there:
        raise typer.BadParameter(f"There is no file {path}.")
    return path


def _refuse_token(text: str, instead: str) -> None:
    if looks_like_token(text):
        raise typer.BadParameter(
            f"This looks like a bot token itself, and {instead}. It may now be in your shell's "
            "history and in the list of processes: reset it in Discord's Developer Portal."
        )


def job_id(text: str) -> str:
    """Read the id of a sync job."""
    try:
        return str(uuid.UUID(text.strip()))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a job's id, which looks like 6f1c1c1e-6a52-4f0e-9f55-0a8f7f0a9d11."
        ) from None
