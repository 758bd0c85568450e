"""People where nobody expects them: in alerts, footers, buttons, file names, keys and numbers."""

import json
from typing import Final

from raysync.emulator.generator.draws import Draws
from raysync.emulator.generator.history import History
from raysync.emulator.generator.words import sentence, title
from raysync.emulator.world.messages import Payload, cdn_path

_ALERT: Final = 24
_FULL_WIDTH: Final = {ord("0") + each: 0xFF10 + each for each in range(10)}
_CDN: Final = "https://cdn.discordapp.com"


def hidden(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Put somebody into a message, somewhere beside its author and its mentions."""
    users = history.cast.payloads
    somebody = users[draws.below(len(users))]
    place = _PLACES[draws.below(len(_PLACES))]
    place(history, index, payload, somebody, draws)


def _alert(history: History, index: int, payload: Payload, somebody: Payload, draws: Draws) -> None:
    """Make it AutoMod's alert: what is in its fields is partly JSON."""
    actions = {"v": 1, "actions": {"1": {"actor": somebody["id"], "ts": "2026-01-01T00:00:00"}}}
    told = {
        "rule_name": title(draws),
        "channel_id": str(history.channel_id),
        "flagged_message_id": str(history.ids[max(0, index - 1)]),
        "interaction_user_id": somebody["id"],
        "alert_actions_execution": json.dumps(actions, separators=(",", ":")),
    }
    fields = [{"name": name, "value": value, "inline": False} for name, value in told.items()]
    embed = {"type": "auto_moderation_message", "description": sentence(draws, 40)}
    payload["type"], payload["content"] = _ALERT, ""
    payload["embeds"] = [embed | {"fields": fields}]


def _log(history: History, _index: int, payload: Payload, somebody: Payload, draws: Draws) -> None:
    """Make it an entry of a bot's log: whom it is about has a face, a footer and a banner."""
    user_id, face = somebody["id"], somebody["avatar"] or "0" * 32
    avatar = f"{_CDN}/avatars/{user_id}/{face}.webp?size=64"
    member = f"{_CDN}/guilds/{history.guild_id}/users/{user_id}/avatars/{face}.png"
    payload["embeds"] = [
        {
            "type": "rich",
            "description": sentence(draws, 40),
            "author": {"name": somebody["username"], "icon_url": avatar},
            "footer": {"text": f"ID: {user_id}", "icon_url": member},
            "image": {"url": f"{_CDN}/banners/{user_id}/{face}.png"},
            "fields": [
                {"name": "User ID", "value": user_id, "inline": True},
                {"name": "Channel ID", "value": str(history.channel_id), "inline": True},
            ],
        }
    ]


def _buttons(
    history: History, _index: int, payload: Payload, somebody: Payload, draws: Draws
) -> None:
    """Put a button and a menu under it, about somebody."""
    user_id = somebody["id"]
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


def _file(history: History, index: int, payload: Payload, somebody: Payload, draws: Draws) -> None:
    """Attach a file that is named after somebody."""
    attachment_id, name = history.ids[index] + 1, f"report-{somebody['id']}.txt"
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


def _text(history: History, index: int, payload: Payload, somebody: Payload, draws: Draws) -> None:
    """Name somebody by the bare id, among ids of other things and other numbers."""
    user_id, channel_id = somebody["id"], history.channel_id
    typed = user_id.translate(_FULL_WIDTH) if draws.below(3) == 0 else user_id
    link = f"https://discord.com/channels/{history.guild_id}/{channel_id}/{history.ids[index]}"
    payload["content"] = (
        f"{sentence(draws, 20)} {typed}, see {link} and <#{channel_id}> <:x:{channel_id}>, "
        f"order 1234567890123, {_CDN}/avatars/{user_id}/{somebody['avatar'] or '0' * 32}.png"
    )


def _tomorrow(
    history: History, _index: int, payload: Payload, somebody: Payload, draws: Draws
) -> None:
    """Add what Discord may bring tomorrow, under keys that nobody knows."""
    user_id = somebody["id"]
    payload["tomorrow"] = {
        "by": user_id,
        "actor": {"id": user_id, "name": somebody["username"], "avatar": somebody["avatar"]},
        "moderator": {"user_id": user_id, "display_name": somebody["username"]},
        "target": int(user_id),
        "votes": {user_id: draws.below(9)},
        "channel_id": str(history.channel_id),
        "count": draws.below(1 << 50),
    }


_PLACES: Final = (_alert, _log, _buttons, _file, _text, _tomorrow)
