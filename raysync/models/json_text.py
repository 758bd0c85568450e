"""JSON text that escapes only the characters that PostgreSQL cannot store."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def json_text(value: Any) -> str:
    """Return *value* as JSON, in the form in which `discord_api.convert` writes payloads.

    Unpaired surrogates are escaped.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _SURROGATE.sub(lambda found: rf"\u{ord(found[0]):04x}", text)
