"""Who reacted and who voted: told exactly where known, made up from the message otherwise.

A generated message says how many reacted. Who they are follows from its id, so it is the same
at every call and costs no memory; the first change writes it down.
"""

import zlib
from bisect import bisect_left

from raysync.emulator.entities import Guild
from raysync.emulator.messages import MessageLog, Payload
from raysync.emulator.world import emoji_key

ReactionKey = tuple[str, bool]


def emoji_known(guild: Guild, emoji: str) -> bool:
    """Say whether the emoji exists: characters always, a custom one until it is removed."""
    name, _, emoji_id = emoji.rpartition(":")
    return not (name and emoji_id.isdigit() and int(emoji_id) in guild.removed_emoji_ids)


def reactor_ids(guild: Guild, log: MessageLog, message_id: int, key: ReactionKey) -> list[int]:
    """Return the ids, ascending, of who reacted with an emoji, as burst or not."""
    known = log.reactors.get(message_id, {}).get(key)
    return drawn_reactors(guild, log, message_id, key) if known is None else known


def drawn_reactors(guild: Guild, log: MessageLog, message_id: int, key: ReactionKey) -> list[int]:
    """Draw as many members as the message says, for a reaction nobody has changed."""
    emoji, burst = key
    for reaction in log.payload(message_id).get("reactions", ()):
        if emoji_key(reaction["emoji"]) == emoji:
            count = reaction["count_details"]["burst" if burst else "normal"]
            return draw_users(guild, count, f"{message_id}{emoji}{burst}")
    return []


def voter_ids(guild: Guild, log: MessageLog, message_id: int, answer_id: int) -> list[int]:
    """Return the ids, ascending, of who chose an answer."""
    poll = log.payload(message_id).get("poll")
    for entry in poll["results"]["answer_counts"] if poll else ():
        if entry["id"] == answer_id:
            return draw_users(guild, entry["count"], f"{message_id}/{answer_id}")
    return []


def draw_users(guild: Guild, count: int, seed: str) -> list[int]:
    """Return *count* of the guild's users, ascending, always the same for a seed."""
    pool = guild.user_ids
    start = zlib.crc32(seed.encode()) % len(pool) if pool else 0
    return sorted(pool[(start + each) % len(pool)] for each in range(min(count, len(pool))))


def insert_sorted(ids: list[int], user_id: int) -> bool:
    """Put an id in its place; False where it was there."""
    at = bisect_left(ids, user_id)
    if at < len(ids) and ids[at] == user_id:
        return False
    ids.insert(at, user_id)
    return True


def with_reaction(reactions: list[Payload], emoji: str, normal: int, burst: int) -> list[Payload]:
    """Return a message's reactions with new counts of one emoji; none left drops it."""
    others = [each for each in reactions if emoji_key(each["emoji"]) != emoji]
    if not normal + burst:
        return others
    place = next((at for at, each in enumerate(reactions) if each not in others), len(others))
    return [*others[:place], reaction(emoji, normal, burst), *others[place:]]


def reaction(emoji: str, normal: int, burst: int) -> Payload:
    """Return a reaction as messages show it."""
    name, _, emoji_id = emoji.rpartition(":")
    custom = bool(name) and emoji_id.isdigit()
    return {
        "emoji": {"id": emoji_id, "name": name} if custom else {"id": None, "name": emoji},
        "count": normal + burst,
        "count_details": {"burst": burst, "normal": normal},
        "burst_colors": ["#ff7a3d"] if burst else [],
        "me_burst": False,
        "me": False,
    }
