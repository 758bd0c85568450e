"""Checks of whole answers: each is a list or an object, as Discord documents it."""

from __future__ import annotations

from typing import Any

from raysync.errors import PayloadError


def list_of(answer: Any) -> list[Any]:
    """Return a list; Discord may send null for an empty one."""
    return [] if answer is None else required_list(answer)


def required_list(answer: Any) -> list[Any]:
    """Return a list that must be there: of a missing one, nobody knows what it lacks."""
    if not isinstance(answer, list):
        raise PayloadError("Discord answers with something that is not a list.")
    return answer


def object_of(answer: Any) -> dict[str, Any]:
    """Return an object."""
    if not isinstance(answer, dict):
        raise PayloadError("Discord answers with something that is not an object.")
    return answer
