"""Payloads as Discord sends them, with what a test is about put in."""

from __future__ import annotations

from typing import Any

ALICE_ID = "803025117553754132"
BOB_ID = "903025117553754133"
ROLE_ID = "703025117553754134"
CHANNEL_ID = "603025117553754135"


def user(user_id: str = ALICE_ID, name: str = "alice.wonder", **more: Any) -> dict[str, Any]:
    return {
        "id": user_id,
        "username": name,
        "avatar": "a1b2c3d4e5f6",
        "discriminator": "0",
        "global_name": f"{name} the Great",
        "public_flags": 0,
    } | more


ALICE, BOB = user(), user(BOB_ID, "bob.builder")


def message(**more: Any) -> dict[str, Any]:
    return {
        "id": "1103025117553754136",
        "type": 0,
        "content": "hello",
        "channel_id": CHANNEL_ID,
        "author": ALICE,
        "attachments": [],
        "embeds": [],
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "pinned": False,
        "tts": False,
        "timestamp": "2023-05-02T13:02:11.123000+00:00",
        "edited_timestamp": None,
        "flags": 0,
        "components": [],
    } | more
