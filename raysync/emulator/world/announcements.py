"""Announcements of changes, which the gateway turns into events."""

from dataclasses import dataclass

from raysync.emulator.world.entities import Channel
from raysync.emulator.world.messages import Payload

GUILDS = 1 << 0
GUILD_MEMBERS = 1 << 1
GUILD_EXPRESSIONS = 1 << 3
GUILD_MESSAGES = 1 << 9
GUILD_MESSAGE_REACTIONS = 1 << 10
MESSAGE_CONTENT = 1 << 15
GUILD_MESSAGE_POLLS = 1 << 24
"""Intents, as Discord's bits."""


@dataclass(slots=True)
class Announcement:
    """A change, as Discord's gateway tells it to those who may know."""

    name: str  #: as in ``MESSAGE_CREATE``
    guild_id: int
    payload: Payload
    intent: int
    channel: Channel | None = None  #: only for bots that can view it
    token: str | None = None  #: only for this bot
    is_message: bool = False  #: it has content, which needs an intent of its own
    but_not: frozenset[str] = frozenset()  #: tokens of bots that do not get it
