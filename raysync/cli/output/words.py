"""Figures, durations and names, formatted for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from raysync.models.extras import ExtraTally

_BARS = " ▏▎▍▌▋▊▉█"
_COLUMNS = " ▁▂▃▄▅▆▇█"


def count(number: int) -> str:
    """Format a number: ``12,345``."""
    return f"{number:,}"


def about(number: int) -> str:
    """Format an estimate with two significant digits: ``about 3,100,000``."""
    return f"about {count(round(number, 2 - len(str(number))))}"


def at_least(number: int) -> str:
    """Format a lower bound with two significant digits, rounded down: ``at least 12,000``."""
    step = 10 ** max(len(str(number)) - 2, 0)
    return f"at least {count(number // step * step)}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Format a number with its noun: ``1 channel``, ``2 channels``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def channel(name: str | None, channel_id: object) -> str:
    """Format a channel: ``#general (123)``, or ``channel 123`` if its name is unknown."""
    return f"#{printable(name)} ({channel_id})" if name else f"channel {channel_id}"


def size(number: int) -> str:
    """Format a number of bytes: ``512 B``, ``1.5 MB``."""
    amount, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"


def extras(done: ExtraTally) -> list[str]:
    """Format extras: ``1,204 reactors``, ``31 attachments stored (1.2 MB)``."""
    parts = [f"{counted(done.reactors, 'reactor')}"] if done.reactors else []
    if done.files:
        parts.append(f"{counted(done.files, 'attachment')} stored ({size(done.file_bytes)})")
    if done.files_failed:
        parts.append(f"{counted(done.files_failed, 'attachment')} unavailable now")
    return parts


def rate(per_second: float) -> str:
    """Format a rate, with one decimal while it is small: ``9.5``, ``1,204``."""
    return f"{per_second:,.1f}" if per_second < 99.95 else f"{per_second:,.0f}"


def seconds(duration_s: float) -> str:
    """Format a duration for a sentence: ``0.4 s``, ``31.2 s``, ``2 min 5 s``, ``3 h 20 min``."""
    if duration_s < 59.95:
        return f"{duration_s:.1f} s"
    whole_s = round(duration_s)
    if whole_s < 3600:
        return f"{whole_s // 60} min {whole_s % 60} s"
    minutes = round(duration_s / 60)
    if minutes < 2 * 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(duration_s / 3600)
    return f"{hours // 24} d {hours % 24} h"


def clock(duration_s: float | None) -> str:
    """Format a duration for a column: ``0:09``, ``12:34``, ``1:02:03``; ``–`` while unknown."""
    if duration_s is None:
        return "–"
    whole_s = max(round(duration_s), 0)
    hours, minutes, rest = whole_s // 3600, whole_s // 60 % 60, whole_s % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def percent(share: float | None) -> str:
    """Format a share: ``62 %``, rounded down, so that only a complete one is 100 %."""
    return "–" if share is None else f"{int(min(max(share, 0.0), 1.0) * 100)} %"


def bar(share: float | None, width: int) -> str:
    """Draw a bar of *width* cells, in eighths of a cell."""
    eighths = int(min(max(share or 0.0, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    partial = _BARS[rest] if rest else ""
    return ("█" * whole + partial).ljust(width)


def printable(text: str) -> str:
    """Return *text* without characters that command a terminal or change the text direction."""
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Zl", "Zp") or character in "\t\n\r":
        return " "
    is_joiner = character in "\u200c\u200d"  # emoji and several scripts need them
    return "" if category in ("Cc", "Cf", "Cs") and not is_joiner else character


def sparkline(counts: Sequence[int], width: int) -> str:
    """Draw *counts* as bars, the highest one full. Add up neighbours if there are too many."""
    group = max(-(-len(counts) // width), 1)
    sums = [sum(counts[start : start + group]) for start in range(0, len(counts), group)]
    highest = max(sums, default=0)
    if not highest:
        return ""
    return "".join(_COLUMNS[round(total / highest * (len(_COLUMNS) - 1))] for total in sums)
