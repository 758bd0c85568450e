"""Rewriting of texts: persons' ids become pseudonyms, ids of things stay.

The markup of an id (``<#…>``, ``<@&…>``, ``<:name:…>``, ``</name:…>``), its place in a URL of
Discord's, or the payload shows that it is a thing's. Any other id counts as a person's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import unquote

from raysync.discord_api.people.id_classifier import IdClassifier
from raysync.discord_api.people.id_texts import (
    LONG_NUMBER,
    MIN_DIGITS,
    NUMBER,
    is_fraction,
    is_in_hash,
    is_plain,
    may_hold_id,
    plain_digits,
    split_by_script,
    without_tail,
)
from raysync.discord_api.people.json_texts import rewritten_json
from raysync.discord_api.people.key_kinds import Kind, kind_of
from raysync.models.privacy import ERASED, PSEUDONYM

_OWNER: Final = rf"(?:[0-9]{{15,20}}(?![0-9])|{PSEUDONYM}|{ERASED})"
_PICTURES: Final = ("avatars", "banners", "avatar-decorations")
_PERSON_PATHS: Final = (*_PICTURES, "users")
_SLASH: Final = "(?:/|%2[Ff])"
is_person_link: Final[Callable[[str], re.Match[str] | None]] = re.compile(
    rf"{_SLASH}(?:avatars|users){_SLASH}{_OWNER}|/embed/avatars/"
).search
"""Searches a URL for a person's picture or profile."""

_IS_OWNER: Final = re.compile(_OWNER).fullmatch
_LONG_NUMBER: Final = re.compile(LONG_NUMBER)
_MENTION: Final = re.compile(f"<@!?({NUMBER})>")
_PICTURE: Final = re.compile(
    rf"(?P<before>{_SLASH}(?:{'|'.join(_PICTURES)}){_SLASH})(?P<owner>{_OWNER})(?:{_SLASH}[\w.]+)?"
)
_PROFILE: Final = re.compile(
    rf"(?P<before>{_SLASH}users{_SLASH})(?P<owner>{_OWNER})"
    rf"(?:(?P<picture>{_SLASH}(?:{'|'.join(_PICTURES)})){_SLASH}[\w.]+)?"
)
_OPENING: Final = re.compile(r"<(?:\#|@&|a?:\w+:|/[^<>:\n]+:)$").search
"""Searches for the markup before the id of a channel, a role, an emoji or a command."""
_MAX_OPENING: Final = 128

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
"""Segments of Discord's paths, with the number of things' ids that may follow each."""
_THINGS_IN_QUERIES: Final = frozenset({"client_id", "event"})
_SEGMENT_ID: Final = re.compile(rf"(?:[0-9]+|{_OWNER})(?![\w-])", re.ASCII).match
"""An id or a pseudonym at the beginning of a path segment. A file extension may follow."""
_MAX_ESCAPES: Final = 5
"""Maximum nesting of percent-encoding. No program decodes deeper."""
_ESCAPE: Final = re.compile("(?:25)*[0-9]{2}")


class Texts(IdClassifier):
    """Rewriter of the texts of one payload."""

    __slots__ = ()

    def rewritten(self, text: str) -> str:
        """Replace every id in *text* that may be a person's with the pseudonym.

        Digits may be percent-encoded. If this hides an id, the text is kept decoded.
        """
        kept = decoded = self._rewritten_once(text)
        for _ in range(_MAX_ESCAPES):
            encoded, decoded = decoded, unquote(decoded)
            if decoded == encoded:
                break
            if may_hold_id(decoded):
                rewritten = self._rewritten_once(decoded)
                kept, decoded = kept if rewritten == decoded else rewritten, rewritten
        return kept

    def _rewritten_once(self, text: str) -> str:
        if text.lstrip()[:1] in ("{", "["):
            json_text = rewritten_json(text, self.rewritten, self)
            if json_text is not None:
                return json_text
        return self._pieces(text)

    def _pieces(self, text: str) -> str:
        """Rewrite Discord's URLs in *text*, and the text between them."""
        places = self.known.places
        if not places.are_in(text):
            return self._without_urls(text)
        kept: list[str] = []
        at = 0
        for url in places.addresses.finditer(text):
            start, stop = url.span(url.lastgroup or 0)
            kept += (self._without_urls(text[at:start]), self._path(text[start:stop]))
            at = stop
        return "".join((*kept, self._without_urls(text[at:])))

    def _without_urls(self, text: str) -> str:
        """Rewrite a text that contains no URL of Discord's."""
        if "<@" in text:
            text = _MENTION.sub(self._mention, text)
        if "avatar" in text or "banners" in text:
            text = _PICTURE.sub(self._picture, text)
        if "users" in text:
            text = _PROFILE.sub(self._profile, text)
        return _LONG_NUMBER.sub(self._number, text) if may_hold_id(text) else text

    def _mention(self, mention: re.Match[str]) -> str:
        return f"<@{self.mention_ref(plain_digits(mention[1]))}>"

    def _picture(self, link: re.Match[str]) -> str:
        """Rewrite the owner of a picture, and drop its hash, which identifies them."""
        if "banners" in link["before"] and self.is_thing(link["owner"]):
            return link[0]
        ref = self.owner_ref(link["owner"])
        return link[0] if ref is None else link["before"] + ref

    def _profile(self, link: re.Match[str]) -> str:
        ref = self.owner_ref(link["owner"])
        return link[0] if ref is None else f"{link['before']}{ref}{link['picture'] or ''}"

    def _number(self, matched: re.Match[str]) -> str:
        """Rewrite a long number, unless it is known to be a thing's id."""
        text, start, number = matched.string, matched.start(), matched[0]
        body = without_tail(number)
        tail = number[len(body) :]
        if text[start - 1 : start] == "%" and (escaped := self._after_escape(body)) is not None:
            return escaped + tail
        digits = plain_digits(body)
        if digits not in self.person_ids and _is_other_number(text, start, start + len(body)):
            return number
        ref = self.person_ref(digits)
        if ref is None and not is_plain(body):  # two numbers in different scripts may touch
            return "".join(map(self._number_part, split_by_script(body))) + tail
        return number if ref is None else ref + tail

    def _number_part(self, digits: str) -> str:
        ref = self.person_ref(plain_digits(digits)) if len(digits) >= MIN_DIGITS else None
        return digits if ref is None else ref

    def _after_escape(self, number: str) -> str | None:
        """Rewrite a number that begins with the digits of an escape, such as ``%20`` and an id."""
        for length in range(2, 2 * _MAX_ESCAPES, 2):
            if not _ESCAPE.fullmatch(number, 0, length):
                return None
            ref = self.person_ref(plain_digits(number[length:]))
            if ref is not None:
                return number[:length] + ref
        return None

    def _plain(self, text: str) -> str:
        """Rewrite the numbers in a part of a URL."""
        return _LONG_NUMBER.sub(self._number, text) if may_hold_id(text) else text

    def _path(self, path: str) -> str:
        """Rewrite the path of a URL of Discord's, with its query."""
        path, mark, rest = path.partition("?")
        if path.startswith("/external/"):  # the URL of another site follows a hash
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
            return f"{name}{mark}{self.thing_id(value)}"
        return self._plain(pair)

    def _segments(self, segments: list[str]) -> Iterator[str]:
        """Rewrite the segments of a path. The segment before an id says what it identifies."""
        things_left, before, follows_user, is_picture = 0, "", False, False
        for segment in segments:
            start = _SEGMENT_ID(segment)
            number, rest = ("", segment) if start is None else (start[0], segment[start.end() :])
            if is_picture:  # dropped: the name of a picture identifies its owner
                is_picture = False
            elif things_left and number.isdigit():
                things_left -= 1
                yield self.thing_id(number) + self._plain(rest)
            elif before in _PERSON_PATHS and _IS_OWNER(number):
                is_guild_banner = before == "banners" and self.is_thing(number)
                ref = None if is_guild_banner else self.owner_ref(number)
                is_picture = before in _PICTURES and ref is not None
                follows_user = before == "users" and ref is not None
                before = ""
                yield (number if ref is None else ref) + self._plain(rest)
            else:
                is_picture = follows_user and segment in _PICTURES
                is_me = segment == "@me"
                things_left = max(things_left - 1, 0) if is_me else _THINGS_IN_PATHS.get(segment, 0)
                before = segment
                yield self._plain(segment)


def _is_other_number(text: str, start: int, stop: int) -> bool:
    """Return whether the number is in a thing's markup, a fraction or a hash."""
    if not is_plain(text[start:stop]):
        return False
    if text[stop : stop + 1] == ">":
        return _OPENING(text, max(0, start - _MAX_OPENING), start) is not None
    return is_fraction(text, start) or is_in_hash(text, start, stop)
