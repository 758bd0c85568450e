"""Damaged records: served as Discord should never send them, while the world keeps them whole."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Damage:
    """How one record is served instead of how it is."""

    patch: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    text: str | None = None

    def body(self, payload: dict[str, Any]) -> bytes:
        """Return what is served in place of *payload*: any bytes, not always JSON.

        `text` is served as it stands. Otherwise the keys `without` are left out, and `patch` is
        laid over the rest, objects into objects; NaN, numbers of any size and halves of surrogate
        pairs are written as a careless program would write them.
        """
        if self.text is not None:
            return self.text.encode("utf-8", "surrogatepass")
        kept = {key: value for key, value in payload.items() if key not in self.without}
        return json.dumps(_merged(kept, self.patch)).encode()


def _merged(whole: Any, patch: Any) -> Any:
    if not isinstance(whole, dict) or not isinstance(patch, dict):
        return patch
    return whole | {key: _merged(whole.get(key), value) for key, value in patch.items()}
