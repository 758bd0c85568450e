"""Texts of generated messages."""

from functools import cache
from typing import Final

from raysync.emulator.generator.draws import Draws

_TEXT: Final = (
    "server deploy thanks maybe later again config why because error fixed release branch "
    "queue restart latency channel message token worker page limit bucket night morning "
    "coffee works here locally staging rollback merge review docs link please anyone tried "
    "upgrade version broken since yesterday agree exactly weird faster slower memory disk "
    "network timeout retry cluster node actor query index table schema ship it nice "
    "question answer thread voice event friday weekend the a to of and is that it for on"
)
_WORDS: Final = _TEXT.split()
_ODD: Final = (
    "naïve café Straße 漢字かな 👩‍👩‍👧‍👦 \u202eright-to-left\u202c",
    "line\nbreak\r\nand\ttab \\ backslash \"quote\" 'single'",
    "zero\u200bwidth\ufeffmark e\u0301 é ﷽ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "nul\u0000inside and \u0001\u001f\u007f controls",
    "null",
    "\\u0000 written out",
    " leading and trailing ",
    "\u2028line separator\u2029 \U0010ffff",
)


def sentence(draws: Draws, about_bytes: int) -> str:
    """Return a text of about this many bytes."""
    text = _long_text()
    start = draws.below(len(text) - about_bytes)
    return text[start : start + max(1, about_bytes)].strip() or "ok"


def odd_sentence(draws: Draws) -> str:
    """Return a text that breaks careless programs, such as one with U+0000."""
    return _ODD[draws.below(len(_ODD))]


@cache
def _long_text() -> str:
    """Return a long text to cut sentences from, ten times cheaper than drawing each word."""
    draws = Draws(0, 0)
    return " ".join(_WORDS[draws.below(len(_WORDS))] for _ in range(20_000))


def title(draws: Draws) -> str:
    """Return a short name."""
    return "-".join(_WORDS[draws.below(len(_WORDS))] for _ in range(2))
