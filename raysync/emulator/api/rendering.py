"""Messages as one bot sees them: own reactions marked, content only with the intent."""

from collections.abc import Sequence
from typing import Final

from raysync.emulator.world.entities import Bot, Channel
from raysync.emulator.world.messages import MessageLog, Payload, encode
from raysync.emulator.world.reactions import emoji_key
from raysync.emulator.world.world import World

_SNAPSHOTS: Final = "message_snapshots"
_NO_CONTENT: Final[Payload] = {
    "content": "",
    "embeds": [],
    "attachments": [],
    "components": [],
}


def render(world: World, bot: Bot, channel: Channel, message_ids: Sequence[int]) -> list[bytes]:
    """Return messages as JSON, as a bot sees them. Their CDN paths are not signed yet."""
    log = channel.log
    every = log.encoded_all(message_ids, world.resolve, world.budget)
    if bot.sees_content and not log.reactors and not log.damage:
        return every
    pairs = zip(message_ids, every, strict=True)
    return [_seen_by(world, bot, log, message_id, encoded) for message_id, encoded in pairs]


def without_content(payload: Payload, user_id: int) -> Payload:
    """Return a message as Discord shows it to a bot without the content intent.

    The bot's own messages, and those that mention it, stay complete.
    """
    quoted = payload.get("referenced_message")
    if quoted:
        payload = payload | {"referenced_message": without_content(quoted, user_id)}
    mentioned = any(user["id"] == str(user_id) for user in payload["mentions"])
    if mentioned or payload["author"]["id"] == str(user_id):
        return payload
    stripped = {key: payload[key] for key in payload if key != "poll"} | _NO_CONTENT
    if _SNAPSHOTS in stripped:
        snapshots = stripped[_SNAPSHOTS]
        stripped[_SNAPSHOTS] = [{"message": one["message"] | _NO_CONTENT} for one in snapshots]
    return stripped


def _seen_by(world: World, bot: Bot, log: MessageLog, message_id: int, encoded: bytes) -> bytes:
    own, damage = log.own_reactions(message_id, bot.user.id), log.damage.get(message_id)
    if bot.sees_content and not own and damage is None:
        return encoded
    payload = world.resolve(log.payload(message_id))
    if own:
        payload = payload | {"reactions": _marked(payload["reactions"], own)}
    seen = payload if bot.sees_content else without_content(payload, bot.user.id)
    return encode(seen, damage)


def _marked(reactions: list[Payload], own: set[tuple[str, bool]]) -> list[Payload]:
    marked = []
    for reaction in reactions:
        key = emoji_key(reaction["emoji"])
        marks = {"me": (key, False) in own, "me_burst": (key, True) in own}
        marked.append(reaction | marks)
    return marked
