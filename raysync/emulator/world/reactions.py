"""Reactors and voters of a message: recorded after a change, derived from the message before.

A generated message holds the number of its reactors. Their ids are derived from the message's id,
so they are the same at every call and cost no memory. The first change records them.
"""

import zlib
from bisect import bisect_left

from raysync.emulator.world.entities import Guild
from raysync.emulator.world.messages import MessageLog, Payload

ReactionKey = tuple[str, bool]


def emoji_key(emoji: Payload) -> str:
    """Return an emoji as a path names it: the character, or `name:id`."""
    return f"{emoji['name']}:{emoji['id']}" if emoji["id"] else str(emoji["name"])


def emoji_known(guild: Guild, emoji: str) -> bool:
    """Return whether the emoji exists: a character always, a custom emoji until its removal."""
    name, _, emoji_id = emoji.rpartition(":")
    return not (name and emoji_id.isdigit() and int(emoji_id) in guild.removed_emoji_ids)


def reactor_ids(guild: Guild, log: MessageLog, message_id: int, key: ReactionKey) -> list[int]:
    """Return the ids, ascending, of the users who reacted with an emoji, normal or burst."""
    recorded = log.reactors.get(message_id, {}).get(key)
    return _derived_reactors(guild, log, message_id, key) if recorded is None else recorded


def _derived_reactors(
    guild: Guild, log: MessageLog, message_id: int, key: ReactionKey
) -> list[int]:
    """Return as many users as the message counts, for a reaction without changes."""
    emoji, burst = key
    for reaction in log.payload(message_id).get("reactions", ()):
        if emoji_key(reaction["emoji"]) == emoji:
            count = reaction["count_details"]["burst" if burst else "normal"]
            return _derived_users(guild, count, f"{message_id}{emoji}{burst}")
    return []


def voter_ids(guild: Guild, log: MessageLog, message_id: int, answer_id: int) -> list[int]:
    """Return the ids, ascending, of the users who chose an answer."""
    poll = log.payload(message_id).get("poll")
    for entry in poll["results"]["answer_counts"] if poll else ():
        if entry["id"] == answer_id:
            return _derived_users(guild, entry["count"], f"{message_id}/{answer_id}")
    return []


def _derived_users(guild: Guild, count: int, seed: str) -> list[int]:
    """Return *count* of the guild's users, ascending, the same for the same seed."""
    pool = guild.user_ids
    start = zlib.crc32(seed.encode()) % len(pool) if pool else 0
    return sorted(pool[(start + offset) % len(pool)] for offset in range(min(count, len(pool))))


def insert_sorted(ids: list[int], user_id: int) -> bool:
    """Insert an id at its place. Return False if it was there already."""
    at = bisect_left(ids, user_id)
    if at < len(ids) and ids[at] == user_id:
        return False
    ids.insert(at, user_id)
    return True


def with_reaction(reactions: list[Payload], emoji: str, normal: int, burst: int) -> list[Payload]:
    """Return a message's reactions with new counts of one emoji. Counts of zero remove it."""
    others = [entry for entry in reactions if emoji_key(entry["emoji"]) != emoji]
    if not normal + burst:
        return others
    places = (at for at, entry in enumerate(reactions) if entry not in others)
    place = next(places, len(others))
    return [*others[:place], reaction(emoji, normal, burst), *others[place:]]


def reaction(emoji: str, normal: int, burst: int) -> Payload:
    """Return a reaction as messages show it."""
    name, _, emoji_id = emoji.rpartition(":")
    is_custom = bool(name) and emoji_id.isdigit()
    return {
        "emoji": {"id": emoji_id, "name": name} if is_custom else {"id": None, "name": emoji},
        "count": normal + burst,
        "count_details": {"burst": burst, "normal": normal},
        "burst_colors": ["#ff7a3d"] if burst else [],
        "me_burst": False,
        "me": False,
    }
