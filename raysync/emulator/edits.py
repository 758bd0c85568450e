"""All changes to a world, by method or by the name a script gives."""

from collections.abc import Callable
from typing import Any

from raysync.emulator.damage_edits import DamageEdits
from raysync.emulator.messages import Payload


class UnknownEditError(Exception):
    """A script names a change that there is none of, or gives it what it does not take."""


class Edits(DamageEdits):
    """Every change a world knows."""

    def apply(self, edit: Payload) -> Any:
        """Make the change named by `op`, the other keys its arguments; ids may be strings.

        Returns what the change returns. Raises UnknownEditError, and KeyError for an id
        that names nothing.
        """
        arguments = {key: _argument(key, edit[key]) for key in edit if key != "op"}
        method = self._method(str(edit.get("op")))
        try:
            return method(**arguments)
        except TypeError as error:
            raise UnknownEditError(f"{edit.get('op')}: {error}") from error

    def _method(self, name: str) -> Callable[..., Any]:
        method = getattr(self, name, None)
        if name.startswith("_") or name in ("apply", "world") or not callable(method):
            raise UnknownEditError(f"no such change: {name}")
        found: Callable[..., Any] = method
        return found


def _argument(key: str, value: Any) -> Any:
    if key.endswith("_ids") and isinstance(value, list):
        return [int(each) for each in value]
    return int(value) if key.endswith("_id") and value is not None else value
