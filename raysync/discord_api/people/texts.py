"""Texts without people: ids become pseudonyms, what is known to be something else stays.

What an id is of is said by its markup (``<#…>``, ``<@&…>``, ``<:name:…>``, ``</name:…>``), by its
place in an address of Discord's, or by the payload around it. Of every other it is not known, so
it is taken for a person's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import unquote

from raysync.discord_api.people.id_texts import (
    LEAST_DIGITS,
    LONG_NUMBER,
    NUMBER,
    alike,
    is_fraction,
    is_in_hash,
    is_plain,
    may_hold_id,
    plain_digits,
    without_tail,
)
from raysync.discord_api.people.json_texts import rewritten_json
from raysync.discord_api.people.key_kinds import Kind, kind_of
from raysync.discord_api.people.whose_ids import WhoseIds
from raysync.models.privacy import ERASED, PSEUDONYM

_WHO: Final = rf"(?:[0-9]{{15,20}}(?![0-9])|{PSEUDONYM}|{ERASED})"
_PICTURES: Final = ("avatars", "banners", "avatar-decorations")
_OF_PEOPLE: Final = (*_PICTURES, "users")
_SLASH: Final = "(?:/|%2[Ff])"
leads_to_somebody: Final[Callable[[str], re.Match[str] | None]] = re.compile(
    rf"{_SLASH}(?:avatars|users){_SLASH}{_WHO}|/embed/avatars/"
).search
"""Finds the address of a person's picture, or profile."""

_IS_WHO: Final = re.compile(_WHO).fullmatch
_LONG_NUMBER: Final = re.compile(LONG_NUMBER)
_MENTION: Final = re.compile(f"<@!?({NUMBER})>")
_PICTURE: Final = re.compile(
    rf"(?P<before>{_SLASH}(?:{'|'.join(_PICTURES)}){_SLASH})(?P<who>{_WHO})(?:{_SLASH}[\w.]+)?"
)
_PROFILE: Final = re.compile(
    rf"(?P<before>{_SLASH}users{_SLASH})(?P<who>{_WHO})"
    rf"(?:(?P<picture>{_SLASH}(?:{'|'.join(_PICTURES)})){_SLASH}[\w.]+)?"
)
_OPENED: Final = re.compile(r"<(?:\#|@&|a?:\w+:|/[^<>:\n]+:)$").search
"""Finds what an id follows that is a channel's, a role's, an emoji's or a command's."""
_LONGEST_OPENING: Final = 128

_THINGS_IN_PATHS: Final = {
    "channels": 4, "threads": 2, "attachments": 2, "ephemeral-attachments": 2, "events": 2,
    **dict.fromkeys(
        (
            "activities", "app-assets", "app-icons", "application-directory", "applications",
            "channel-icons", "clan-badges", "clan-banners", "discovery-splashes", "emojis",
            "guild-events", "guild-tag-badges", "guilds", "home-headers", "icons", "messages",
            "quests", "role-icons", "roles", "skus", "soundboard-sounds", "splashes", "stickers",
            "team-icons",
        ),
        1,
    ),
}  # fmt: skip
"""Parts of paths of Discord's, by how many ids may follow that are no person's."""
_THINGS_IN_QUERIES: Final = frozenset({"client_id", "event"})
_BEGINNING: Final = re.compile(rf"(?:[0-9]+|{_WHO})(?![\w-])", re.ASCII).match
"""An id, or a pseudonym, at the beginning of a part of a path; an ending may follow."""
_MOST_ESCAPES: Final = 5
"""How often an escape may be escaped again; beyond that nobody reads it."""
_ESCAPE: Final = re.compile("(?:25)*[0-9]{2}")


class Texts(WhoseIds):
    """Rewrites texts of one payload, by whose the ids in it are."""

    __slots__ = ()

    def rewritten(self, text: str) -> str:
        """Replace every id in *text* that may be a person's with the pseudonym.

        Digits may be written as escapes themselves. Where that hides an id, the text is kept
        without its escapes.
        """
        kept = decoded = self._read(text)
        for _ in range(_MOST_ESCAPES):
            before, decoded = decoded, unquote(decoded)
            if decoded == before:
                break
            if may_hold_id(decoded):
                again = self._read(decoded)
                kept, decoded = kept if again == decoded else again, again
        return kept

    def _read(self, text: str) -> str:
        if text.lstrip()[:1] in ("{", "["):
            json_text = rewritten_json(text, self.rewritten, self)
            if json_text is not None:
                return json_text
        return self._pieces(text)

    def _pieces(self, text: str) -> str:
        """Rewrite the addresses of Discord's in *text*, and what is between them."""
        places = self.known.places
        if not places.are_in(text):
            return self._beside(text)
        kept: list[str] = []
        at = 0
        for found in places.addresses.finditer(text):
            start, stop = found.span(found.lastgroup or 0)
            kept += (self._beside(text[at:start]), self._path(text[start:stop]))
            at = stop
        return "".join((*kept, self._beside(text[at:])))

    def _beside(self, text: str) -> str:
        """Rewrite a text that contains no address of Discord's."""
        if "<@" in text:
            text = _MENTION.sub(self._mention, text)
        if "avatar" in text or "banners" in text:
            text = _PICTURE.sub(self._picture, text)
        if "users" in text:
            text = _PROFILE.sub(self._profile, text)
        return _LONG_NUMBER.sub(self._number, text) if may_hold_id(text) else text

    def _mention(self, found: re.Match[str]) -> str:
        return f"<@{self.mentioned(plain_digits(found[1]))}>"

    def _picture(self, found: re.Match[str]) -> str:
        """Rewrite whose picture it is, and drop its hash, which leads back to them."""
        if "banners" in found["before"] and self.is_thing(found["who"]):
            return found[0]
        who = self.somebody(found["who"])
        return found[0] if who is None else found["before"] + who

    def _profile(self, found: re.Match[str]) -> str:
        who = self.somebody(found["who"])
        return found[0] if who is None else f"{found['before']}{who}{found['picture'] or ''}"

    def _number(self, found: re.Match[str]) -> str:
        """Rewrite a long number, unless it is known to be no person's id."""
        text, start, number = found.string, found.start(), found[0]
        body = without_tail(number)
        tail = number[len(body) :]
        if text[start - 1 : start] == "%" and (escaped := self._after_escape(body)) is not None:
            return escaped + tail
        digits = plain_digits(body)
        if digits not in self.met and _stays(text, start, start + len(body)):
            return number
        ref = self.person(digits)
        if ref is None and not is_plain(body):  # what looks like one number may be two
            return "".join(map(self._stretch, alike(body))) + tail
        return number if ref is None else ref + tail

    def _stretch(self, digits: str) -> str:
        ref = self.person(plain_digits(digits)) if len(digits) >= LEAST_DIGITS else None
        return digits if ref is None else ref

    def _after_escape(self, number: str) -> str | None:
        """Rewrite a number that begins with an escape's digits, as in ``%20`` and an id."""
        for length in range(2, 2 * _MOST_ESCAPES, 2):
            if not _ESCAPE.fullmatch(number, 0, length):
                return None
            ref = self.person(plain_digits(number[length:]))
            if ref is not None:
                return number[:length] + ref
        return None

    def _plain(self, text: str) -> str:
        """Rewrite the numbers in a part of an address."""
        return _LONG_NUMBER.sub(self._number, text) if may_hold_id(text) else text

    def _path(self, path: str) -> str:
        """Rewrite the path of an address of Discord's, with its query."""
        path, mark, rest = path.partition("?")
        if path.startswith("/external/"):  # the address of another site, after a hash
            proxied = path.split("/", 3)
            kept = "/".join([*proxied[:3], *map(self.rewritten, proxied[3:])])
        else:
            kept = "/".join(self._segments(path.split("/")))
        if not mark:
            return kept
        query, hash_, fragment = rest.partition("#")
        pairs = "&".join(map(self._pair, query.split("&")))
        return f"{kept}{mark}{pairs}{hash_}{self._plain(fragment)}"

    def _pair(self, pair: str) -> str:
        name, mark, value = pair.partition("=")
        is_things = name in _THINGS_IN_QUERIES or kind_of(name) is Kind.THING
        if is_things and value.isascii() and value.isdigit():
            return f"{name}{mark}{self.unless_met(value)}"
        return self._plain(pair)

    def _segments(self, segments: list[str]) -> Iterator[str]:
        """Rewrite the parts of a path. The part before an id says what it identifies."""
        things, before, is_of_user, is_theirs = 0, "", False, False
        for segment in segments:
            found = _BEGINNING(segment)
            number, rest = ("", segment) if found is None else (found[0], segment[found.end() :])
            if is_theirs:  # the picture's own name leads back to whose it is
                is_theirs = False
            elif things and number.isdigit():
                things -= 1
                yield self.unless_met(number) + self._plain(rest)
            elif before in _OF_PEOPLE and _IS_WHO(number):
                is_guilds = before == "banners" and self.is_thing(number)
                who = None if is_guilds else self.somebody(number)
                is_theirs = before in _PICTURES and who is not None
                is_of_user = before == "users" and who is not None
                before = ""
                yield (number if who is None else who) + self._plain(rest)
            else:
                is_theirs = is_of_user and segment in _PICTURES
                is_own = segment == "@me"
                things = max(things - 1, 0) if is_own else _THINGS_IN_PATHS.get(segment, 0)
                before = segment
                yield self._plain(segment)


def _stays(text: str, start: int, stop: int) -> bool:
    """Return whether markup, a fraction or a hash shows that the number is no person's id."""
    if not is_plain(text[start:stop]):
        return False
    if text[stop : stop + 1] == ">":
        return _OPENED(text, max(0, start - _LONGEST_OPENING), start) is not None
    return is_fraction(text, start) or is_in_hash(text, start, stop)
