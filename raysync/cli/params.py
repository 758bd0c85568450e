"""Parsers of option values. A value that cannot be used is a usage error: exit 2."""

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
    """Parse ``7d``, ``12h``, ``30m``, ``45s``, ``2w`` or ``0``. Return a default as it is."""
    if isinstance(text, timedelta):
        return text
    if text.strip() == "0":
        return timedelta(0)
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not a duration. Write a number and s, m, h, d or w, as in 7d, 12h or "
            "30m, or write 0."
        )
    length = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if length > _MAX_DURATION:
        raise typer.BadParameter(f"{text!r} is longer than a hundred years.")
    return length


def duration_or_none(text: str | timedelta) -> timedelta:
    """Parse a duration, or ``none``, which `length_of` turns into None.

    0 is refused: a retention of no time would keep nothing.
    """
    if isinstance(text, timedelta):
        return text
    if text.strip().lower() == "none":
        return _NONE
    length = duration(text)
    if not length:
        raise typer.BadParameter("0 would keep nothing. Give a duration such as 365d, or none.")
    return length


def length_of(parsed: timedelta) -> timedelta | None:
    """Return the duration that `duration_or_none` parsed, or None for ``none``."""
    return None if parsed == _NONE else parsed


def person(text: str) -> str:
    """Parse a user's Discord id, or a pseudonym."""
    if _PSEUDONYM.fullmatch(text.strip()):
        return text.strip()
    try:
        return str(snowflake(text))
    except typer.BadParameter:
        raise typer.BadParameter(
            "That is neither a Discord id (a number) nor a pseudonym (u_ and 26 characters)."
        ) from None


def folder_or_url(text: str) -> str:
    """Parse a folder, which becomes absolute, or a URL, which stays as it is."""
    if not text.strip():
        raise typer.BadParameter("This is empty. Name a folder, or a URL such as s3://bucket/path.")
    if "://" in text or "::" in text:
        return text
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError as error:  # ~nobody
        raise typer.BadParameter(f"That folder cannot be used: {error}.") from None


def size(text: str | int) -> int:
    """Parse ``25MB``, ``1.5GB``, ``500kB`` or a number of bytes."""
    if isinstance(text, int):
        return text
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not a size. Write a number and kB, MB or GB, as in 25MB, or only a "
            "number of bytes."
        )
    return int(float(match[1]) * _SIZE_UNITS[match[2] or ""])


def media_type(text: str) -> str:
    """Parse a media type, ``image/png``, or all types of a kind, ``image/*``."""
    if not _MEDIA_TYPE.fullmatch(text.strip().lower()):
        raise typer.BadParameter(f"{text!r} is not a media type. Examples: image/png, image/*.")
    return text.strip().lower()


def moment(text: str | datetime) -> datetime:
    """Parse an ISO 8601 date, or date and time. Without an offset it is UTC."""
    if isinstance(text, datetime):
        return text
    try:
        parsed = datetime.fromisoformat(text.strip())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not an ISO date. Examples: 2026-01-31, 2026-01-31T18:00 (UTC), "
            "2026-01-31T18:00+02:00."
        ) from None


def snowflake(text: str | int) -> int:
    """Parse a Discord id (a snowflake)."""
    if isinstance(text, int):
        return text
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:20]) <= _MAX_SNOWFLAKE):
        raise typer.BadParameter(
            "That is not a Discord id, which is a number. Turn on Developer Mode in Discord, and "
            "copy the id from the context menu."
        )
    return int(digits)


def variable_name(text: str) -> str:
    """Parse the name of an environment variable. Refuse a token, and do not repeat it."""
    _refuse_token(text, "--token-env takes the NAME of an environment variable that holds it")
    if not _VARIABLE.fullmatch(text):
        raise typer.BadParameter(
            "That is not the name of an environment variable. Use letters, digits and _ only."
        )
    return text


def token_file(text: str | Path) -> Path:
    """Parse the path of a token file. Refuse a token, and do not repeat it."""
    _refuse_token(str(text), "--token-file takes the PATH of a file that holds it")
    try:
        path = Path(text).expanduser().absolute()
        exists, is_directory = path.exists(), path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a zero byte
        raise typer.BadParameter(f"That path cannot be used: {error}.") from None
    if is_directory:
        raise typer.BadParameter(f"{path} is a directory. Name a file.")
    if not exists:
        raise typer.BadParameter(f"There is no file {path}.")
    return path


def _refuse_token(text: str, expected: str) -> None:
    if looks_like_token(text):
        raise typer.BadParameter(
            f"This looks like a bot token itself, but {expected}. The token may now be in your "
            "shell's history and in the list of processes. Reset it in Discord's Developer "
            "Portal."
        )


def job_id(text: str) -> str:
    """Parse the id of a sync job."""
    try:
        return str(uuid.UUID(text.strip()))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a job's id. An id looks like 6f1c1c1e-6a52-4f0e-9f55-0a8f7f0a9d11; "
            "`raysync status` shows the latest ones."
        ) from None
