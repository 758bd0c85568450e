"""Damage of records: served as Discord should never send them. The world keeps the originals."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Damage:
    """Damage of one record: keys replaced, keys removed, or its whole text replaced."""

    patch: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    text: str | None = None

    def body(self, payload: dict[str, Any]) -> bytes:
        """Return the bytes to serve instead of *payload*. They are not always JSON.

        `text` replaces the whole record. Otherwise the keys in `without` are removed, and `patch`
        is merged into the rest, nested objects included. NaN, numbers of any size and lone
        surrogates are written as a careless program would write them.
        """
        if self.text is not None:
            return self.text.encode("utf-8", "surrogatepass")
        kept = {key: value for key, value in payload.items() if key not in self.without}
        return json.dumps(_merged(kept, self.patch)).encode()


def _merged(whole: Any, patch: Any) -> Any:
    if not isinstance(whole, dict) or not isinstance(patch, dict):
        return patch
    return whole | {key: _merged(whole.get(key), value) for key, value in patch.items()}
