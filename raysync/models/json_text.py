"""JSON as text in which what PostgreSQL cannot keep is escaped, and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def json_text(value: Any) -> str:
    """*value*, half surrogate pairs included, as `discord_api.convert` writes an original."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _SURROGATE.sub(lambda found: rf"\u{ord(found[0]):04x}", text)
