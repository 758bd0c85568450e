"""All edits of a world, as methods or by the name that a script gives."""

from collections.abc import Callable
from typing import Any

from raysync.emulator.edits.channels import ChannelEdits
from raysync.emulator.edits.damage import DamageEdits
from raysync.emulator.edits.messages import MessageEdits
from raysync.emulator.edits.reactions import ReactionEdits
from raysync.emulator.edits.threads import ThreadEdits
from raysync.emulator.world.messages import Payload


class UnknownEditError(Exception):
    """Unknown name of an edit, or arguments that the edit does not take."""


class Edits(ReactionEdits, MessageEdits, ThreadEdits, ChannelEdits, DamageEdits):
    """All edits of a world."""

    def apply(self, edit: Payload) -> Any:
        """Make the edit named by `op`. The other keys are its arguments; ids may be strings.

        Returns:
            The result of the edit.

        Raises:
            UnknownEditError: there is no such edit, or it does not take these arguments.
            KeyError: an id names nothing.
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
            raise UnknownEditError(f"unknown edit: {name}")
        edit: Callable[..., Any] = method
        return edit


def _argument(key: str, value: Any) -> Any:
    if key.endswith("_ids") and isinstance(value, list):
        return [int(one) for one in value]
    return int(value) if key.endswith("_id") and value is not None else value
