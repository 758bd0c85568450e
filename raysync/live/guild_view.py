"""View of one guild: which of its channels the bot may read, as events change it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from raysync.models import channel_types
from raysync.models.entities import BotMember, Channel, Guild
from raysync.models.ids import ChannelId
from raysync.models.live import (
    ChannelGone,
    ChannelSeen,
    GuildChanged,
    GuildGone,
    GuildSeen,
    LiveEvent,
    MemberSeen,
    RoleGone,
    RoleSeen,
)
from raysync.models.work import KnownChannel
from raysync.sync.planning.permissions import reason_unreadable


class GuildView:
    """The guild as a session has described it so far. Applying an event twice changes nothing."""

    def __init__(self, known: Iterable[KnownChannel] = ()) -> None:
        """*known* are the stored channels: the gateway does not describe archived threads."""
        self._guild: Guild | None = None
        self._member: BotMember | None = None
        self._channels: dict[ChannelId, Channel] = {}
        self._parents = {
            channel.id: channel.parent_id
            for channel in known
            if channel.type in channel_types.THREADS
        }
        self._readable: dict[ChannelId, bool] = {}

    @property
    def is_known(self) -> bool:
        """True once the gateway has described the guild, and until it takes it away."""
        return self._guild is not None

    def apply(self, event: LiveEvent) -> None:
        """Follow an event. Events of messages change nothing here."""
        match event:
            case GuildSeen():
                self._guild, self._member = event.guild, event.member or self._member
                self._channels = {channel.id: channel for channel in event.channels}
            case GuildChanged():
                self._guild = event.guild
            case GuildGone():
                self._guild = None
            case RoleSeen() if self._guild is not None:
                others = (role for role in self._guild.roles if role.id != event.role.id)
                self._guild = replace(self._guild, roles=(*others, event.role))
            case RoleGone() if self._guild is not None:
                left = tuple(role for role in self._guild.roles if role.id != event.role_id)
                self._guild = replace(self._guild, roles=left)
            case MemberSeen():
                self._member = event.member
            case ChannelSeen():
                self._see(event.channel)
            case ChannelGone():
                self._channels.pop(event.channel_id, None)
                self._parents.pop(event.channel_id, None)
            case _:
                return
        self._readable.clear()

    def _see(self, channel: Channel) -> None:
        if channel.type in channel_types.THREADS and channel.parent_id is not None:
            self._parents[channel.id] = channel.parent_id
        known = self._channels.get(channel.id)
        if known is not None and known.thread is not None and channel.thread is not None:
            # an event of a thread need not say that the bot is a member
            joined = channel.thread.bot_is_member or known.thread.bot_is_member
            channel = replace(channel, thread=replace(channel.thread, bot_is_member=joined))
        self._channels[channel.id] = channel

    def parent_of(self, channel_id: ChannelId) -> ChannelId | None:
        """Return the channel that a thread is in; None for other channels and unknown threads."""
        return self._parents.get(channel_id)

    def is_forgotten(self, channel_id: ChannelId, forgotten: Collection[ChannelId]) -> bool:
        """Return whether the channel is one of *forgotten*, or a thread of one."""
        return channel_id in forgotten or self.parent_of(channel_id) in forgotten

    def is_readable(self, channel_id: ChannelId) -> bool | None:
        """Return whether the bot may read the channel's history; None for an unknown channel."""
        found = self._readable.get(channel_id)
        if found is None:
            computed = self._compute(channel_id)
            if computed is None:
                return None
            found = self._readable[channel_id] = computed
        return found

    def _compute(self, channel_id: ChannelId) -> bool | None:
        if self._guild is None or self._member is None:
            return False
        channel = self._channels.get(channel_id)
        if channel is not None:
            if channel.type not in channel_types.WITH_MESSAGES:
                return False
            reason = reason_unreadable(self._guild, self._member, channel, self._channels)
            return reason is None
        # Discord sends events of a thread only to those who may view it
        parent = self._channels.get(self._parents.get(channel_id) or ChannelId(0))
        if parent is None:
            return None
        return reason_unreadable(self._guild, self._member, parent, self._channels) is None
