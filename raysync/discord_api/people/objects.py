"""Rewriting of objects whose key says what they describe: users, members, owners and the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from raysync.discord_api.people.key_kinds import ROOT, USER_MARKS, Kind, kind_of
from raysync.discord_api.people.texts import is_person_link
from raysync.discord_api.people.values import Values

_USER_TYPES: Final = (1, "1", "member", "user")
_THING_TYPES: Final = (0, "0", "role", "channel")
_USER_INSTALL, _GUILD_INSTALL = "1", "0"
"""Keys of an integration's owner: a user, or a guild."""
_AUTHOR_LINKS: Final = ("icon_url", "proxy_icon_url", "url")


def rewrite_user(values: Values, value: Any, where: str = "user") -> Any:
    """Keep of a user the pseudonym, and whether they are a program."""
    if not isinstance(value, dict):
        return values.value(value, where)
    kept: dict[str, Any] = {"id": values.user_id(value.get("id"), "user")}
    if value.get("bot"):
        kept["bot"] = True
    if value.get("system"):
        kept["system"] = True
    return kept


def rewrite_member(values: Values, value: dict[str, Any]) -> dict[str, Any]:
    """Keep of a guild's member the roles and the user."""
    kept: dict[str, Any] = {"roles": values.thing(value.get("roles", []), "roles")}
    if "user" in value:
        kept["user"] = rewrite_user(values, value["user"])
    return kept


def _rewrite_any_member(values: Values, value: Any, where: str) -> Any:
    """Rewrite a member of a guild or of a thread."""
    is_guild_member = isinstance(value, dict) and "roles" in value
    return rewrite_member(values, value) if is_guild_member else values.value(value, where)


def rewrite_author(values: Values, value: Any, where: str) -> Any:
    """Rewrite a message's or an embed's author. Drop the name beside a person's picture."""
    kept = values.value(value, where)
    if "name" in kept and "id" not in kept and isinstance(kept, dict):
        for key in _AUTHOR_LINKS:
            link = value.get(key)
            if isinstance(link, str) and is_person_link(link):
                kept.pop("name", None)
    return kept


def rewrite_things(values: Values, value: dict[str, Any], where: str) -> dict[str, Any]:
    """Rewrite a map of channels, roles and other things, keyed by their ids."""
    kept = {}
    for key, thing in value.items():
        is_id = key.isascii() and key.isdigit()
        kept[values.thing_id(key) if is_id else values.text(key)] = values.value(thing, where)
    return kept


def _rewrite_people(values: Values, value: Any, where: str) -> Any:
    """Rewrite users, members or their ids, in a list or in a map by their ids."""
    if isinstance(value, dict) and not _is_person(value):
        return {
            _people_key(values, key): values.value(person, where) for key, person in value.items()
        }
    if isinstance(value, list):
        return [_rewrite_listed_person(values, person, where) for person in value]
    return values.value(value, where)


def _rewrite_listed_person(values: Values, value: Any, where: str) -> Any:
    is_id = isinstance(value, (str, int))
    return values.user_id(value, where) if is_id else values.value(value, where)


def _people_key(values: Values, key: str) -> str:
    return str(values.user_id(key, ROOT)) if key.isdecimal() else values.text(key)


def _is_person(value: Mapping[str, Any]) -> bool:
    """Return whether an object is one person, and not a map of persons by their ids."""
    return "nick" in value or any(mark in value for mark in USER_MARKS)


def _rewrite_owners(values: Values, value: Any, where: str) -> Any:
    """Rewrite the owners of an integration: a guild or a user."""
    if not isinstance(value, dict):
        return values.value(value, where)
    kept = {}
    for key, owner in value.items():
        if key == _USER_INSTALL:
            kept[key] = values.user_id(owner, where)
        elif key == _GUILD_INSTALL:
            kept[key] = values.thing(owner, where)
        else:
            kept[values.text(key)] = values.value(owner, where)
    return kept


def _rewrite_choices(values: Values, value: Any, where: str) -> Any:
    """Rewrite a select menu's default values, or a channel's overwrites: some are users."""
    if not isinstance(value, list):
        return values.value(value, where)
    return [_rewrite_choice(values, choice, where) for choice in value]


def _rewrite_choice(values: Values, value: Any, where: str) -> Any:
    kept = values.value(value, where)
    if isinstance(value, dict) and isinstance(kept, dict) and "id" in value:
        if value.get("type") in _USER_TYPES:
            kept["id"] = values.user_id(value["id"], where)
        elif value.get("type") in _THING_TYPES:
            kept["id"] = values.thing(value["id"], where)
    return kept


def _rewrite_lobby_member(values: Values, value: Any, where: str) -> Any:
    """Rewrite a member of a game's lobby. The id is the user's, without any other sign of it."""
    kept = values.value(value, where)
    if isinstance(value, dict) and isinstance(kept, dict) and "id" in value:
        kept["id"] = values.user_id(value["id"], where)
    return kept


def _rewrite_fields(values: Values, value: Any, where: str) -> Any:
    """Rewrite the fields of an embed. The name of a field says what its value is."""
    if not isinstance(value, list):
        return values.value(value, where)
    return [_rewrite_field(values, field, where) for field in value]


def _rewrite_field(values: Values, value: Any, where: str) -> Any:
    kept = values.value(value, where)
    if isinstance(value, dict) and isinstance(name := value.get("name"), str):
        content = value.get("value")
        is_id = isinstance(content, str) and content.isascii() and content.isdigit()
        if is_id and kind_of(name) is Kind.THING:
            kept["value"] = values.thing_id(str(content))
    return kept


def _rewrite_user_id(values: Values, value: Any, where: str) -> Any:
    return values.user_id(value, where)


REWRITERS: Final[Mapping[Kind, Callable[[Values, Any, str], Any]]] = {
    Kind.CHOICES: _rewrite_choices,
    Kind.FIELDS: _rewrite_fields,
    Kind.LOBBY_MEMBER: _rewrite_lobby_member,
    Kind.MEMBER: _rewrite_any_member,
    Kind.OWNERS: _rewrite_owners,
    Kind.PEOPLE: _rewrite_people,
    Kind.PERSON: _rewrite_user_id,
    Kind.USER: rewrite_user,
}
"""Functions that rewrite a value, by the kind of its key."""
