"""Threads and posts of a generated guild."""

from collections.abc import Iterator
from itertools import cycle, islice
from typing import Final

from raysync.emulator.generator.draws import Draws
from raysync.emulator.generator.history import History, Notice
from raysync.emulator.generator.maker import Maker
from raysync.emulator.generator.words import title
from raysync.emulator.world.entities import (
    POST_PARENT_TYPES,
    Channel,
    ChannelType,
    Thread,
)
from raysync.emulator.world.message_payloads import THREAD_STARTER, message_reference
from raysync.emulator.world.messages import MessageLog, Payload
from raysync.emulator.world.snowflakes import made_at_ms, snowflake

_DAY_MS: Final = 86_400_000
_TAGS: Final = ("question", "solved", "idea")


def add_threads(maker: Maker) -> None:
    """Add the spec's threads to the guild's channels, and its posts to the forums."""
    spec = maker.spec
    texts = _channels_of(maker, ChannelType.TEXT)
    announcements = _channels_of(maker, ChannelType.ANNOUNCEMENT)
    forums = _channels_of(maker, *POST_PARENT_TYPES)
    for number, parent in enumerate(_dealt(texts, spec.threads)):
        _add_public(maker, parent, number, ChannelType.PUBLIC_THREAD)
    for number, parent in enumerate(_dealt(announcements, spec.announcement_threads)):
        _add_public(maker, parent, number, ChannelType.ANNOUNCEMENT_THREAD)
    for number, parent in enumerate(_dealt(texts, spec.private_threads)):
        _add_private(maker, parent, number)
    for number, parent in enumerate(_dealt(forums, spec.posts)):
        _add_post(maker, parent, number)


def _add_public(maker: Maker, parent: Channel, number: int, kind: int) -> None:
    """Add a thread that starts from a message. Every third one is only announced by a message."""
    source = _history(parent)
    if source is None or not len(source.ids):
        return
    place = Draws(maker.seed ^ 0x7EAD, parent.id + number).below(len(source.ids))
    message_id = source.ids[place]
    if message_id in maker.guild.threads or message_id in source.notices:
        return
    if number % 3 == 2:
        thread_id = message_id - (1 << 22)
        thread = _add(maker, parent, thread_id, kind)
        source.notices[message_id] = Notice(thread_id, thread.name)
        return
    opening = {
        "type": THREAD_STARTER,
        "content": "",
        "message_reference": message_reference(maker.guild.id, parent.id, message_id),
    }
    _add(maker, parent, message_id, kind, opening)
    source.thread_ids.add(message_id)


def _add_private(maker: Maker, parent: Channel, number: int) -> None:
    at_ms = _any_ms(maker, parent.id + number)
    thread = _add(maker, parent, snowflake(at_ms, 5), ChannelType.PRIVATE_THREAD)
    start = Draws(maker.seed, thread.id).below(len(maker.guild.user_ids))
    thread.member_ids |= {maker.guild.user_ids[start]}


def _add_post(maker: Maker, parent: Channel, number: int) -> None:
    """Add a post to a forum: a thread whose first message has its id."""
    thread_id = snowflake(_any_ms(maker, parent.id + number), 0)
    if thread_id in maker.guild.threads:
        return
    post = _add(maker, parent, thread_id, ChannelType.PUBLIC_THREAD, {})
    if not parent.tags:
        parent.tags |= {parent.id + 1 + number: name for number, name in enumerate(_TAGS)}
    post.applied_tags = (parent.id + 1 + number % len(_TAGS),)
    parent.last_message_id = max(parent.last_message_id or 0, post.id)


def _add(
    maker: Maker,
    parent: Channel,
    thread_id: int,
    kind: int,
    opening: Payload | None = None,
) -> Thread:
    spec, draws = maker.spec, Draws(maker.seed ^ 0xA4C, thread_id)
    count = 1 + draws.below(2 * spec.messages_per_thread)
    start_ms = made_at_ms(thread_id)
    end_ms = min(spec.end_ms, start_ms + 1 + draws.below(7 * _DAY_MS))
    history = maker.history(thread_id, count, start_ms + 1, max(end_ms, start_ms + count + 2))
    history.in_thread = True
    if opening is not None:
        history.ids[0] = thread_id
        history.opening = opening
    name = title(draws)
    thread = Thread(thread_id, maker.guild.id, kind, name, MessageLog(history), parent.id)
    thread.owner_id = maker.cast.users[draws.below(len(maker.cast.users))].id
    thread.member_ids = {thread.owner_id}
    thread.last_message_id = history.ids[-1]
    thread.total_message_sent = count + draws.below(3)
    thread.archived = draws.chance(spec.archived)
    thread.archive_ms = made_at_ms(history.ids[-1]) + (_DAY_MS if thread.archived else 0)
    maker.guild.threads[thread_id] = thread
    return thread


def _any_ms(maker: Maker, place: int) -> int:
    span_ms = maker.spec.end_ms - maker.start_ms
    return maker.start_ms + Draws(maker.seed ^ 0xDA7E, place).below(span_ms * 9 // 10)


def _history(channel: Channel) -> History | None:
    source = channel.log.source
    return source if isinstance(source, History) else None


def _channels_of(maker: Maker, *kinds: int) -> list[Channel]:
    return [channel for channel in maker.guild.channels.values() if channel.type in kinds]


def _dealt(parents: list[Channel], count: int) -> Iterator[Channel]:
    return islice(cycle(parents), count) if parents else iter(())
