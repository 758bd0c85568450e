"""Escapes for characters that command a terminal, end a line or reverse its direction.

Text of strangers (channel names, server errors) reaches terminals, logs and programs that read
lines. There, ESC and U+009B begin commands, U+0085, U+2028 and U+2029 end lines, U+202E reverses
the text, and characters without width hide. They are escaped where text leaves raysync, in one
module per output: `cli/output/console.py`, `logs.py`, `store/archive/json_lines.py`, and the
report's page.

U+200C and U+200D stay, because emoji and several scripts need them.
"""

from __future__ import annotations

import re
from typing import Final

_COMMANDS: Final = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 except tab and newline, DEL, C1
    r"\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
    r"\ud800-\udfff"  # surrogates, which no output can encode
)
_COMMAND: Final = re.compile(f"[{_COMMANDS}]")
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_COMMAND_IN_UTF8: Final = re.compile(
    rb"\x7f|\xc2[\x80-\x9f\xad]|\xd8\x9c|\xe1\xa0\x8e|\xe2\x80[\x8b\x8e\x8f\xa8-\xae]"
    rb"|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf|\xef\xbf[\xb9-\xbb]"
    rb"|\xf0\x9b\xb2[\xa0-\xa3]|\xf0\x9d\x85[\xb3-\xba]|\xf3\xa0[\x80\x81][\x80-\xbf]"
)


def visible(text: str) -> str:
    r"""Return *text* with escapes (``\x1b``, ``\u202e``) for what must not reach a terminal.

    Tabs and newlines stay, because they are the caller's layout.
    """
    return _COMMAND.sub(lambda found: escaped(found[0]), text)


def visible_line(text: str) -> str:
    """Return `visible` text in one line, so that foreign text cannot begin another line."""
    return visible(text).replace("\n", r"\n")


def in_json(text: str) -> str:
    """Return JSON *text* with JSON escapes for these characters; its value is the same."""
    return _COMMAND.sub(lambda found: _json_escape(found[0]), text)


def in_json_bytes(block: bytes) -> bytes:
    """Return `in_json` of UTF-8 bytes; *block* must not cut a character."""
    return _COMMAND_IN_UTF8.sub(lambda found: _json_escape(found[0].decode()).encode(), block)


def ascii_json(text: str) -> str:
    """Return JSON *text* with JSON escapes for everything that is not ASCII."""
    return _NOT_ASCII.sub(lambda found: _json_escape(found[0]), in_json(text))


def escaped(character: str) -> str:
    r"""Return a character's escape: ``\xe9``, ``\u202e``, ``\U0001f600``."""
    number = ord(character)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
