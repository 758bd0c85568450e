"""Discord's permission computation, case by case."""

from __future__ import annotations

import pytest

from raysync.models import channel_types
from raysync.models.entities import BotMember, Channel, Guild, Overwrite, Role, ThreadState
from raysync.models.ids import ChannelId, GuildId, UserId
from raysync.sync.planning.permissions import Permission, reason_unreadable

GUILD, BOT, ROLE = GuildId(100), UserId(7), 200
READ = Permission.VIEW_CHANNEL | Permission.READ_MESSAGE_HISTORY


def guild(everyone: int = READ, role: int = 0, owner: int = 1) -> Guild:
    return Guild(GUILD, "g", UserId(owner), (Role(GUILD, everyone), Role(ROLE, role)))


def channel(
    channel_type: int = channel_types.TEXT,
    overwrites: tuple[Overwrite, ...] = (),
    parent: int | None = None,
    thread: ThreadState | None = None,
) -> Channel:
    parent_id = None if parent is None else ChannelId(parent)
    return Channel(ChannelId(1), GUILD, channel_type, "c", parent_id, None, overwrites, thread)


def reason(guild_: Guild, channel_: Channel, *parents: Channel) -> str | None:
    member = BotMember(BOT, frozenset({ROLE}))
    return reason_unreadable(guild_, member, channel_, {each.id: each for each in parents})


EVERYONE_OUT = Overwrite(GUILD, is_member=False, allow=0, deny=Permission.VIEW_CHANNEL)
ROLE_IN = Overwrite(ROLE, is_member=False, allow=Permission.VIEW_CHANNEL, deny=0)
ROLE_OUT = Overwrite(ROLE, is_member=False, allow=0, deny=Permission.READ_MESSAGE_HISTORY)
BOT_IN = Overwrite(BOT, is_member=True, allow=Permission.READ_MESSAGE_HISTORY, deny=0)
OTHER_OUT = Overwrite(999, is_member=True, allow=0, deny=READ)


@pytest.mark.parametrize(
    ("guild_", "channel_", "missing"),
    [
        pytest.param(guild(), channel(), None, id="everyone-may-read"),
        pytest.param(guild(0), channel(), "VIEW_CHANNEL", id="nobody-may"),
        pytest.param(guild(0, READ), channel(), None, id="a-role-gives-it"),
        pytest.param(guild(0, Permission.ADMINISTRATOR), channel(), None, id="administrator"),
        pytest.param(guild(0, owner=BOT), channel(), None, id="owner"),
        pytest.param(guild(), channel(overwrites=(EVERYONE_OUT,)), "VIEW_CHANNEL", id="denied"),
        pytest.param(guild(), channel(overwrites=(ROLE_IN, EVERYONE_OUT)), None, id="role-wins"),
        pytest.param(
            guild(), channel(overwrites=(ROLE_OUT,)), "READ_MESSAGE_HISTORY", id="no-history"
        ),
        pytest.param(guild(), channel(overwrites=(BOT_IN, ROLE_OUT)), None, id="member-wins"),
        pytest.param(guild(), channel(overwrites=(OTHER_OUT,)), None, id="someone-else"),
        pytest.param(guild(), channel(channel_types.VOICE), "CONNECT", id="voice-needs-connect"),
        pytest.param(
            guild(READ | Permission.CONNECT), channel(channel_types.STAGE), None, id="stage"
        ),
    ],
)
def test_a_channel_is_readable_or_says_what_is_missing(
    guild_: Guild, channel_: Channel, missing: str | None
) -> None:
    expected = None if missing is None else f"the bot lacks {missing}"

    assert expected == reason(guild_, channel_)


def thread_state(*, joined: bool) -> ThreadState:
    return ThreadState(archived=True, archived_at=None, message_count=1, bot_is_member=joined)


def test_a_thread_takes_its_parents_permissions() -> None:
    thread = channel(channel_types.PUBLIC_THREAD, parent=2, thread=thread_state(joined=False))
    parent = Channel(ChannelId(2), GUILD, 0, "p", None, None, (EVERYONE_OUT,))

    assert reason(guild(), thread, parent) == "the bot lacks VIEW_CHANNEL"
    assert reason(guild(), thread) == "its parent channel is not visible"


@pytest.mark.parametrize(
    ("granted", "joined", "readable"),
    [
        (READ, False, False),
        (READ, True, True),
        (READ | Permission.MANAGE_THREADS, False, True),
    ],
)
def test_a_private_thread_needs_membership_or_manage_threads(
    granted: int, joined: bool, readable: bool
) -> None:
    thread = channel(channel_types.PRIVATE_THREAD, parent=2, thread=thread_state(joined=joined))
    parent = Channel(ChannelId(2), GUILD, 0, "p", None, None)

    assert (reason(guild(granted), thread, parent) is None) is readable
