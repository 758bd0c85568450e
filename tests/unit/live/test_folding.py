"""Events of a moment become one batch."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raysync.live.folding import Fold
from raysync.live.guild_view import GuildView
from raysync.models.entities import BotMember, Channel, Guild, Message, Role, ThreadState
from raysync.models.ids import ChannelId, GuildId, MessageId, UserId
from raysync.models.live import (
    ChannelGone,
    ChannelSeen,
    GuildGone,
    GuildSeen,
    MemberSeen,
    MessageSeen,
    MessagesGone,
    ReactionChange,
    ReactionsCleared,
    RoleSeen,
)
from raysync.models.work import KnownChannel
from raysync.sync.planning.permissions import Permission

GUILD, TEXT, BOT = GuildId(1), ChannelId(10), UserId(99)
READ = Permission.VIEW_CHANNEL | Permission.READ_MESSAGE_HISTORY
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def channel(id_: int = TEXT, type_: int = 0, parent: int | None = None) -> Channel:
    thread = ThreadState(False, NOW, 0, bot_is_member=False) if type_ in (10, 11, 12) else None
    parent_id = None if parent is None else ChannelId(parent)
    return Channel(ChannelId(id_), GUILD, type_, "c", parent_id, None, thread=thread)


def guild(permissions: int = READ) -> GuildSeen:
    found = Guild(GUILD, "g", UserId(1), (Role(GUILD, int(permissions)),))
    return GuildSeen(found, BotMember(BOT, frozenset()), (channel(),))


def message(id_: int = 5, content: str = "a", edited_s: float | None = None, **more: Any):
    edited_at = None if edited_s is None else NOW + timedelta(seconds=edited_s)
    built = Message(MessageId(id_), 0, content, "u", None, NOW, edited_at, b"{}", b"{}")
    return MessageSeen(TEXT, built, **more)


def reaction(change: int, id_: int = 5, emoji: str = "x") -> ReactionChange:
    return ReactionChange(TEXT, MessageId(id_), emoji, change, 0)


def fold(*events: Any, permissions: int = READ, **more: Any) -> Fold:
    view = GuildView(more.pop("known", ()))
    view.apply(guild(permissions))
    found = Fold(view, **more)
    for event in events:
        found.add(event)
    return found


def test_a_message_is_in_a_batch_once_as_it_was_last() -> None:
    batch = fold(message(content="a"), message(content="a", edited_s=None)).batch()

    assert len(batch.messages) == 1
    assert batch.events == 2


def test_another_version_belongs_to_the_next_batch() -> None:
    found = fold(message(content="a"))

    assert found.is_full_for(message(content="b", edited_s=1))
    assert not found.is_full_for(message(content="a"))
    assert not found.is_full_for(message(6, "b"))


def test_an_earlier_version_that_comes_late_changes_nothing() -> None:
    batch = fold(message(content="b", edited_s=5), message(content="a", edited_s=1)).batch()

    assert batch.messages[0].message.content == "b"


def test_reactions_add_up_and_those_that_cancel_out_are_none() -> None:
    batch = fold(
        reaction(1), reaction(1), reaction(-1), reaction(1, emoji="y"), reaction(-1, emoji="y")
    ).batch()

    assert [(one.emoji, one.count) for one in batch.reactions] == [("x", 1)]


def test_what_came_before_a_clearing_is_cleared() -> None:
    cleared = ReactionsCleared(TEXT, MessageId(5), None)
    batch = fold(reaction(1), cleared, reaction(1, emoji="y")).batch()

    assert [(one.emoji, one.count) for one in batch.reactions] == [("y", 1)]
    assert batch.cleared == (cleared,)


def test_a_deleted_message_gets_no_reactions_any_more() -> None:
    batch = fold(reaction(1), MessagesGone(TEXT, (MessageId(5),)), reaction(1)).batch()

    assert batch.deleted == ((TEXT, MessageId(5)),)
    assert batch.reactions == ()


def test_messages_past_retention_stay_out() -> None:
    batch = fold(message(5), message(50), reaction(1, 5), before=10).batch()

    assert [one.message.id for one in batch.messages] == [50]
    assert batch.reactions == ()


@pytest.mark.parametrize("permissions", [0, int(Permission.VIEW_CHANNEL)])
def test_channels_that_runs_leave_out_stay_out(permissions) -> None:
    assert fold(message(), permissions=permissions).batch().messages == ()


def test_a_role_that_grants_reading_counts_from_then_on() -> None:
    granted = RoleSeen(Role(GUILD, int(READ)))
    batch = fold(message(5), granted, message(6), permissions=0).batch()

    assert [one.message.id for one in batch.messages] == [6]


def test_a_role_of_the_bot_counts_once_it_has_it() -> None:
    role, member = RoleSeen(Role(7, int(READ))), MemberSeen(BotMember(BOT, frozenset({7})))
    batch = fold(role, message(5), member, message(6), permissions=0).batch()

    assert [one.message.id for one in batch.messages] == [6]


def test_after_a_guild_is_gone_nothing_is_kept() -> None:
    assert fold(GuildGone(is_outage=True), message()).batch().messages == ()


def test_forgotten_channels_and_their_threads_stay_out() -> None:
    thread = channel(20, 11, TEXT)
    seen = replace(message(6), channel_id=thread.id)
    found = fold(ChannelSeen(thread), seen, message(5), forgotten={TEXT})

    assert found.batch().messages == ()
    assert found.batch().channels == ()


def test_an_archived_thread_is_known_by_the_store() -> None:
    known = KnownChannel(ChannelId(20), 11, TEXT)
    seen = replace(message(6), channel_id=ChannelId(20))

    assert len(fold(seen, known=(known,)).batch().messages) == 1


def test_an_unknown_channel_is_named_for_a_run() -> None:
    found = fold(replace(message(6), channel_id=ChannelId(77)))

    assert found.batch().messages == ()
    assert found.strangers == {ChannelId(77)}


def test_a_channel_that_comes_back_is_not_gone() -> None:
    batch = fold(ChannelGone(ChannelId(30)), ChannelSeen(channel(30))).batch()

    assert [one.id for one in batch.channels] == [30]
    assert batch.gone_channels == ()
