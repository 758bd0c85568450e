"""Changes to a world while it is served, as people and moderators make them on Discord."""

from raysync.emulator.edits.by_name import Edits, UnknownEditError

__all__ = ["Edits", "UnknownEditError"]
