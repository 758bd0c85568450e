"""People in odd places: alerts, footers, buttons, file names, keys and numbers."""

import json
from typing import Final

from raysync.emulator.generator.draws import Draws
from raysync.emulator.generator.history import History
from raysync.emulator.generator.words import sentence, title
from raysync.emulator.world.messages import Payload, cdn_path

_ALERT: Final = 24
_FULL_WIDTH: Final = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}
_CDN: Final = "https://cdn.discordapp.com"


def name_user(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Name a user in a message, outside its author and its mentions."""
    users = history.cast.payloads
    user = users[draws.below(len(users))]
    place = _PLACES[draws.below(len(_PLACES))]
    place(history, index, payload, user, draws)


def _alert(history: History, index: int, payload: Payload, user: Payload, draws: Draws) -> None:
    """Turn a message into an AutoMod alert. Some of its fields are JSON."""
    actions = {"v": 1, "actions": {"1": {"actor": user["id"], "ts": "2026-01-01T00:00:00"}}}
    values = {
        "rule_name": title(draws),
        "channel_id": str(history.channel_id),
        "flagged_message_id": str(history.ids[max(0, index - 1)]),
        "interaction_user_id": user["id"],
        "alert_actions_execution": json.dumps(actions, separators=(",", ":")),
    }
    fields = [{"name": name, "value": value, "inline": False} for name, value in values.items()]
    embed = {"type": "auto_moderation_message", "description": sentence(draws, 40)}
    payload["type"], payload["content"] = _ALERT, ""
    payload["embeds"] = [embed | {"fields": fields}]


def _log(history: History, _index: int, payload: Payload, user: Payload, draws: Draws) -> None:
    """Turn a message into an entry of a bot's log, with the user's avatar, id and banner."""
    user_id, face = user["id"], user["avatar"] or "0" * 32
    avatar = f"{_CDN}/avatars/{user_id}/{face}.webp?size=64"
    member = f"{_CDN}/guilds/{history.guild_id}/users/{user_id}/avatars/{face}.png"
    payload["embeds"] = [
        {
            "type": "rich",
            "description": sentence(draws, 40),
            "author": {"name": user["username"], "icon_url": avatar},
            "footer": {"text": f"ID: {user_id}", "icon_url": member},
            "image": {"url": f"{_CDN}/banners/{user_id}/{face}.png"},
            "fields": [
                {"name": "User ID", "value": user_id, "inline": True},
                {"name": "Channel ID", "value": str(history.channel_id), "inline": True},
            ],
        }
    ]


def _buttons(history: History, _index: int, payload: Payload, user: Payload, draws: Draws) -> None:
    """Add a button and a menu that name a user."""
    user_id = user["id"]
    button = {
        "type": 2,
        "id": 2,
        "style": 4,
        "label": title(draws),
        "custom_id": f"ban:{user_id}:{history.channel_id}",
    }
    option = {"label": title(draws), "value": json.dumps({"user": int(user_id)})}
    menu = {
        "type": 3,
        "id": 4,
        "custom_id": f"user_id={user_id}",
        "min_values": 1,
        "max_values": 1,
        "options": [option],
    }
    payload["components"] = [
        {"type": 1, "id": 1, "components": [button]},
        {"type": 1, "id": 3, "components": [menu]},
    ]


def _file(history: History, index: int, payload: Payload, user: Payload, draws: Draws) -> None:
    """Attach a file whose name holds a user's id."""
    attachment_id, name = history.ids[index] + 1, f"report-{user['id']}.txt"
    path = f"attachments/{history.channel_id}/{attachment_id}/{name}"
    payload["attachments"] = [
        {
            "id": str(attachment_id),
            "filename": name,
            "size": 200 + draws.below(20_000),
            "url": cdn_path(path),
            "proxy_url": cdn_path(f"media/{path}"),
            "content_type": "text/plain; charset=utf-8",
        }
    ]


def _text(history: History, index: int, payload: Payload, user: Payload, draws: Draws) -> None:
    """Write a user's bare id into the text, among ids of things and other numbers."""
    user_id, channel_id = user["id"], history.channel_id
    typed = user_id.translate(_FULL_WIDTH) if draws.below(3) == 0 else user_id
    link = f"https://discord.com/channels/{history.guild_id}/{channel_id}/{history.ids[index]}"
    payload["content"] = (
        f"{sentence(draws, 20)} {typed}, see {link} and <#{channel_id}> <:x:{channel_id}>, "
        f"order 1234567890123, {_CDN}/avatars/{user_id}/{user['avatar'] or '0' * 32}.png"
    )


def _future(history: History, _index: int, payload: Payload, user: Payload, draws: Draws) -> None:
    """Add a future feature that names a user under unknown keys."""
    user_id = user["id"]
    payload["tomorrow"] = {
        "by": user_id,
        "actor": {"id": user_id, "name": user["username"], "avatar": user["avatar"]},
        "moderator": {"user_id": user_id, "display_name": user["username"]},
        "target": int(user_id),
        "votes": {user_id: draws.below(9)},
        "channel_id": str(history.channel_id),
        "count": draws.below(1 << 50),
    }


_PLACES: Final = (_alert, _log, _buttons, _file, _text, _future)
