"""Rewriting of single values of a payload: texts, links, numbers and ids."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from raysync.discord_api.cdn import is_link_button, unsigned_url
from raysync.discord_api.people.id_texts import (
    LEAST_ID,
    LONG_NUMBER,
    may_hold_id,
    plain_digits,
)
from raysync.discord_api.people.texts import Texts
from raysync.models.privacy import is_ref

NUMBER_ALONE: Final = re.compile(rf"\s*\+?({LONG_NUMBER})\s*").fullmatch
"""Matches a text that is one long number."""


class Values(Texts, ABC):
    """Rewriter of single values. Objects and lists in their place go to `value`."""

    __slots__ = ()

    @abstractmethod
    def value(self, value: Any, where: str) -> Any:
        """Rewrite any part of a payload. *where* is the key of the value, or of its list."""

    def text(self, text: str) -> str:
        """Rewrite a text. Most texts have no long number, no mention and no picture's URL."""
        if may_hold_id(text) or "<@" in text:
            return self.rewritten(text)
        if "/" in text and ("/avatars/" in text or "/banners/" in text or "/users/" in text):
            return self.rewritten(text)
        return text

    def link(self, value: Any, key: str, parent: Mapping[str, Any]) -> Any:
        """Rewrite the URL of a file or picture in *parent*, and drop its signature."""
        if not isinstance(value, str):
            return self.value(value, key)
        if "hm=" not in value and not may_hold_id(value):
            return self.text(value)
        file = self.known.places.files(value)
        if file is not None and self.person_ids.isdisjoint(file.group(2, 3)):
            return value if file[4] and is_link_button(parent) else file[1]
        is_signed = "hm=" in value and not is_link_button(parent)
        return self.text(unsigned_url(value, self.known.places) if is_signed else value)

    def number(self, value: float) -> Any:
        """Return a number unchanged, or a pseudonym if it may be a person's id."""
        if -LEAST_ID < value < LEAST_ID:
            return value
        ref = self.number_ref(value)
        return storable(value) if ref is None else ref

    def thing(self, value: Any, where: str) -> Any:
        """Return a thing's id, or a list of them. Replace ids that are known to be persons'."""
        type_ = value.__class__
        if type_ is str and value.isascii() and value.isdigit():
            return self.thing_id(value)
        if type_ is int:
            kept_id = self.thing_id(str(value))
            return storable(value) if kept_id == str(value) else kept_id
        if type_ is list:
            return [self.thing(item, where) for item in value]
        return self.value(value, where)

    def user_id(self, value: Any, where: str) -> Any:
        """Replace a user's id, or rewrite the value that stands in its place."""
        if isinstance(value, str):
            if value.isascii() and value.isdigit():  # as nearly all are
                return self.add_person(plain_digits(value))
            return value if is_ref(value) else self._user_id_text(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return self.add_person(str(value))
        return None if value is None else self.value(value, where)

    def _user_id_text(self, text: str) -> str:
        number = NUMBER_ALONE(text)
        if number is not None:
            return self.add_person(plain_digits(number[1]))
        if may_hold_id(text):  # an id among other words
            return self.rewritten(text)
        return self.add_person(plain_digits(text) if text.isdecimal() else text)


def storable(value: float) -> Any:
    """Round an integer of more than 64 bits to a double, as a JSON parser does.

    Raises:
        OverflowError: the integer is larger than any double.
    """
    is_rounded = isinstance(value, int) and not -(1 << 63) <= value < 1 << 64
    return float(value) if is_rounded else value
