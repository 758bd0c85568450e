"""Kinds of payload keys: the id of a thing or a person, a name, a picture and so on.

An unknown key says nothing about its value, so an id under it counts as a person's.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from raysync.discord_api.cdn import is_link
from raysync.discord_api.people.id_texts import may_hold_id


class Kind(StrEnum):
    """Kind of the value under a key."""

    PLAIN = "plain"  #: any value; the value itself decides
    ODD = "odd"  #: any value, and the key itself may hold an id
    ID = "id"  #: an id of a person or a thing, depending on the object's place
    THING = "thing"  #: an id, or ids, of things
    PERSON = "person"  #: a person's id
    PEOPLE = "people"  #: people, or their ids, in a list or in a map by their ids
    USER = "user"  #: an object that describes a person
    MEMBER = "member"  #: a person in a guild
    AUTHOR = "author"  #: author of a message or of an embed
    OWNERS = "owners"  #: owners of an integration: a guild, or a user
    CHOICES = "choices"  #: ids of people or roles, each with its type
    LOBBY_MEMBER = "lobby member"
    FIELDS = "fields"  #: fields of an embed: names and values
    NAME = "name"  #: a person's name
    PICTURE = "picture"  #: the hash of a person's avatar or banner
    LINK = "link"  #: the URL of a file or a picture


USER_MARKS: Final = ("username", "global_name", "discriminator")
"""Keys that only a user has."""

ROOT: Final = ""
"""Place of a message or channel that is not part of another."""
_PLACES_OF_THINGS: Final = frozenset(
    {
        ROOT, "accessory", "applicationcommand", "availabletags", "category", "command",
        "entitlement", "entitlements", "file", "files", "forumtags", "game", "guildscheduledevent",
        "integration", "interaction", "interactionmetadata", "listing", "media", "pack", "parent",
        "product", "quest", "rule", "sku", "sound", "soundboardsounds", "stageinstance",
        "stickeritems", "tag", "tags", "triggeringinteractionmetadata",
    }
)  # fmt: skip
_ENDS_OF_PLACES: Final = tuple(
    f"{thing}{end}"
    for thing in (
        "application", "attachment", "channel", "emoji", "guild", "message", "role", "sticker",
        "thread",
    )
    for end in ("", "s")
)  # fmt: skip
MAPS_OF_THINGS: Final = frozenset(
    {"attachments", "channels", "emojis", "guilds", "messages", "roles", "stickers", "threads"}
)
"""Keys of maps of things, keyed by their ids."""
PERSONS: Final = frozenset(
    {
        "author", "bot", "creator", "inviter", "member", "members", "mentions", "moderator",
        "owner", "participants", "recipients", "target_user", "user", "users",
    }
)  # fmt: skip
"""Keys of objects whose ``id`` is a person's, even if it is short."""

_THING_KEYS: Final = frozenset(
    {
        "allow", "allownew", "appliedtags", "bannerassetid", "coverstickerid", "deny", "denynew",
        "entityid", "exemptchannels", "exemptroles", "includeroles", "lobbyid", "mentionroles",
        "nonce", "packid", "parentid", "permissions", "permissionsnew", "referenceid", "roles",
        "ruleid", "soundboardsounds", "soundid", "teamid", "version",
    }
)  # fmt: skip
_THING_ENDS: Final = tuple(
    f"{thing}{end}"
    for thing in (
        "application", "attachment", "category", "changelog", "channel", "command", "emoji",
        "entitlement", "event", "exception", "guild", "integration", "interaction", "listing",
        "message", "role", "server", "sku", "sticker", "tag", "thread",
    )
    for end in ("id", "ids")
)  # fmt: skip
_PERSON_KEYS: Final = frozenset(
    {
        "author_id", "creator_id", "inviter_id", "owner_id", "owner_user_id", "recipient_id",
        "sender_id", "target_user_id", "used_by", "user_id",
    }
)  # fmt: skip
_PEOPLE_KEYS: Final = frozenset({"members", "participants", "recipients", "users"})
_NAME_KEYS: Final = frozenset(
    {
        "additionalname", "authorname", "discriminator", "email", "firstname", "fullname",
        "lastname", "membername", "nicks", "phone", "phonenumber", "realname",
        "screenname", "usertag",
    }
)  # fmt: skip
_NAME_ENDS: Final = ("username", "displayname", "globalname", "nick", "nickname")
_PICTURE_KEYS: Final = frozenset(
    {
        "avatar", "avatardecoration", "avatardecorationdata", "avatarhash", "avatarid", "banner",
        "bannerhash", "collectibles",
    }
)  # fmt: skip
_SEPARATORS: Final = re.compile("[^a-z0-9]+")
_SPECIAL: Final = {
    "id": Kind.ID,
    "author": Kind.AUTHOR,
    "authorizing_integration_owners": Kind.OWNERS,
    "default_values": Kind.CHOICES,
    "fields": Kind.FIELDS,
    "lobby_member": Kind.LOBBY_MEMBER,
    "member": Kind.MEMBER,
    "permission_overwrites": Kind.CHOICES,
    "user": Kind.USER,
    **dict.fromkeys(_PERSON_KEYS, Kind.PERSON),
    **dict.fromkeys(_PEOPLE_KEYS, Kind.PEOPLE),
}


def is_of_things(key: str) -> bool:
    """Return whether the ``id`` of objects under *key*, or in its list, is a thing's."""
    bare = _SEPARATORS.sub("", key.lower())
    return bare in _PLACES_OF_THINGS or bare.endswith(_ENDS_OF_PLACES)


def kind_of(key: str) -> Kind:
    """Classify *key*, whether it is in snake case, camel case or any other."""
    if key in _SPECIAL:
        return _SPECIAL[key]
    if may_hold_id(key) or "<@" in key:
        return Kind.ODD
    bare = _SEPARATORS.sub("", key.lower())
    if bare in _THING_KEYS or bare.endswith(_THING_ENDS):
        return Kind.THING
    if bare in _NAME_KEYS or bare.endswith(_NAME_ENDS):
        return Kind.NAME
    if bare in _PICTURE_KEYS:
        return Kind.PICTURE
    return Kind.LINK if is_link(key) else Kind.PLAIN
