"""Features of generated messages: kinds, attachments, embeds, mentions and reactions."""

from typing import Final

from raysync.emulator.generator.draws import Draws
from raysync.emulator.generator.history import Cast, History
from raysync.emulator.generator.words import sentence, title
from raysync.emulator.world.message_payloads import message_reference
from raysync.emulator.world.messages import Payload, cdn_path
from raysync.emulator.world.reactions import reaction
from raysync.emulator.world.snowflakes import iso, made_at_ms

HAS_SNAPSHOT: Final = 1 << 14
UNKNOWN_TYPE: Final = 200

_EMOJIS: Final = ("👍", "🎉", "❤️", "😂", "1️⃣", "🇩🇪", "👩‍💻", "🔥")
_FILES: Final = (
    ("photo.png", "image/png"),
    ("SPOILER_clip.mp4", "video/mp4"),
    ("notes.txt", "text/plain; charset=utf-8"),
    ("report final (2).pdf", "application/pdf"),
    ("voice-message.ogg", "audio/ogg"),
)
_SYSTEM_TYPES: Final = (7, 7, 7, 8, 9, 6, 12, 25, 31, 32)


def reference(history: History, index: int, kind: int = 0) -> Payload:
    """Return a reference to the message at *index*. Kind 1 is a forward."""
    return message_reference(history.guild_id, history.channel_id, history.ids[index], kind)


def reactions(cast: Cast, draws: Draws) -> list[Payload]:
    """Return one to three reactions, some with custom emojis, some burst ones."""
    start, made = draws.below(len(_EMOJIS)), []
    for offset in range(1 + draws.below(3)):
        emoji = _EMOJIS[(start + offset) % len(_EMOJIS)]
        if offset == 0 and cast.emojis and draws.below(3) == 0:
            custom = cast.emojis[draws.below(len(cast.emojis))]
            emoji = f"{custom.name}:{custom.id}"
        few = draws.below(20) > 0
        normal = 1 + draws.below(min(len(cast.users), 8 if few else 250))
        burst = draws.below(3) if draws.below(10) == 0 else 0
        made.append(reaction(emoji, normal, min(burst, len(cast.users))))
    return made


def attach(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Add one to three attachments."""
    first_id = history.ids[index] + 1
    payload["attachments"] = [
        _attachment(history.channel_id, first_id + offset, draws)
        for offset in range(1 + draws.below(3))
    ]


def embed(draws: Draws) -> Payload:
    """Return an embed with every part."""
    name = title(draws)
    return {
        "type": "rich",
        "url": f"https://example.org/{name}",
        "title": name,
        "description": sentence(draws, 80),
        "color": draws.below(1 << 24),
        "timestamp": "2021-04-12T23:40:39.855793+00:00",
        "fields": [{"name": "field", "value": sentence(draws, 20), "inline": True}],
        "author": {"name": "author", "url": "https://example.org/author"},
        "provider": {"name": "Example", "url": "https://example.org"},
        "footer": {"text": "footer"},
        "thumbnail": {"url": "https://example.org/t.png", "width": 64, "height": 64},
    }


def mention(history: History, payload: Payload, draws: Draws) -> None:
    """Mention a user, a role or a channel, in the text and in the lists of mentions."""
    cast = history.cast
    user = cast.payloads[draws.below(len(cast.payloads))]
    match draws.below(4):
        case 0:
            payload["mention_roles"] = [str(history.guild_id)]
            payload["content"] += f" <@&{history.guild_id}>"
        case 1:
            payload["content"] += f" <#{history.channel_id}>"
        case _:
            payload["mentions"] = [user]
            payload["content"] += f" <@{user['id']}>"


def system(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Turn a message into a system message: a join, a boost, a pin or a follow."""
    kind = _SYSTEM_TYPES[draws.below(len(_SYSTEM_TYPES))]
    payload["type"], payload["content"] = kind, title(draws) if kind == 12 else ""
    if kind == 6:
        payload["message_reference"] = reference(history, max(0, index - 1))
    if kind == 25:
        payload["role_subscription_data"] = {
            "role_subscription_listing_id": str(history.guild_id + 1),
            "tier_name": title(draws),
            "total_months_subscribed": 1 + draws.below(12),
            "is_renewal": False,
        }


def unknown(_history: History, _index: int, payload: Payload, _draws: Draws) -> None:
    """Turn a message into a future one: unknown type, component and field."""
    payload["type"] = UNKNOWN_TYPE
    payload["components"] = [{"type": 99, "id": 1, "glyph": "?"}]
    payload["tomorrow"] = {"answer": 42}


def forward(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Turn a message into a forward: a snapshot without its author."""
    origin = max(0, index - 1 - draws.below(50))
    snapshot = history.plain(origin, Draws(history.seed, origin))
    kept = {key: snapshot[key] for key in _SNAPSHOT_KEYS}
    payload["content"], payload["flags"] = "", HAS_SNAPSHOT
    payload["message_reference"] = reference(history, origin, kind=1)
    payload["message_snapshots"] = [{"message": kept}]


def poll(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Turn a message into a poll with votes."""
    answers = range(1, 3 + draws.below(4))
    most = min(10, len(history.cast.users))
    counts = [
        {"id": answer_id, "count": draws.below(most), "me_voted": False} for answer_id in answers
    ]
    payload["content"] = ""
    payload["poll"] = {
        "question": {"text": sentence(draws, 40)},
        "answers": [_answer(answer_id, draws) for answer_id in answers],
        "expiry": iso(made_at_ms(history.ids[index]) + 86_400_000),
        "allow_multiselect": draws.below(2) == 1,
        "layout_type": 1,
        "results": {"answer_counts": counts, "is_finalized": True},
    }


def sticker(history: History, _index: int, payload: Payload, draws: Draws) -> None:
    """Turn a message into a sticker."""
    sticker_id = history.guild_id + 1 + draws.below(50)
    item = {"id": str(sticker_id), "name": title(draws), "format_type": 1 + draws.below(4)}
    payload["content"], payload["sticker_items"] = "", [item]


def webhook(history: History, _index: int, payload: Payload, draws: Draws) -> None:
    """Turn a message into a webhook's. Its author is not a user."""
    webhook_id = str(history.guild_id + 100 + draws.below(5))
    payload["webhook_id"] = webhook_id
    payload["author"] = payload["author"] | {
        "id": webhook_id,
        "username": f"hook {title(draws)}",
        "bot": True,
        "global_name": None,
    }
    payload["embeds"] = [embed(draws)]


def interaction(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Turn a message into the answer to a command."""
    cast, interaction_id = history.cast, str(history.ids[index] - 1)
    user = cast.payloads[draws.below(len(cast.payloads))]
    payload["type"] = 20
    payload["application_id"] = str(history.guild_id + 200)
    payload["interaction_metadata"] = {
        "id": interaction_id,
        "type": 2,
        "user": user,
        "authorizing_integration_owners": {"0": str(history.guild_id)},
    }


def _attachment(channel_id: int, attachment_id: int, draws: Draws) -> Payload:
    name, content_type = _FILES[draws.below(len(_FILES))]
    path = f"attachments/{channel_id}/{attachment_id}/{name.replace(' ', '_')}"
    attachment: Payload = {
        "id": str(attachment_id),
        "filename": name.replace(" ", "_"),
        "size": 100 + draws.below(20_000),
        "url": cdn_path(path),
        "proxy_url": cdn_path(f"media/{path}"),
        "content_type": content_type,
    }
    if content_type.startswith(("image", "video")):
        attachment |= {
            "width": 640,
            "height": 480,
            "placeholder": "ZJoGLQB6",
            "placeholder_version": 1,
        }
    if name.startswith("SPOILER_"):
        attachment["flags"] = 1 << 3
    if content_type == "audio/ogg":
        attachment |= {"duration_secs": 2.5, "waveform": "AAAAAAAA"}
    return attachment


def _answer(answer_id: int, draws: Draws) -> Payload:
    return {"answer_id": answer_id, "poll_media": {"text": title(draws)}}


_SNAPSHOT_KEYS: Final = (
    "type",
    "content",
    "mentions",
    "mention_roles",
    "attachments",
    "embeds",
    "timestamp",
    "edited_timestamp",
    "flags",
    "components",
)
