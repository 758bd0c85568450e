"""Payloads of new messages, and their references to other messages."""

from typing import Final

from raysync.emulator.world.messages import Payload
from raysync.emulator.world.snowflakes import iso, made_at_ms

REPLY: Final = 19
"""Type of a reply."""
THREAD_CREATED: Final = 18
"""Type of a message that announces a thread from an older message."""
THREAD_STARTER: Final = 21
"""Type of a thread's first message that quotes the message it started from."""
HAS_THREAD: Final = 1 << 5
"""Flag of a message from which a thread started."""


def text_message(channel_id: int, message_id: int, author: Payload, content: str) -> Payload:
    """Return a message with a text only."""
    return {
        "type": 0,
        "content": content,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "timestamp": iso(made_at_ms(message_id)),
        "edited_timestamp": None,
        "flags": 0,
        "components": [],
        "id": str(message_id),
        "channel_id": str(channel_id),
        "author": author,
        "pinned": False,
        "mention_everyone": False,
        "tts": False,
    }


def message_reference(guild_id: int, channel_id: int, message_id: int, kind: int = 0) -> Payload:
    """Return a reference to a message. Kind 1 is a forward."""
    return {
        "type": kind,
        "channel_id": str(channel_id),
        "message_id": str(message_id),
        "guild_id": str(guild_id),
    }
