"""Events of a moment as one batch: each message once, with what happened to it last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from raysync.live.guild_view import GuildView
from raysync.models import channel_types
from raysync.models.entities import Channel
from raysync.models.ids import ChannelId, MessageId
from raysync.models.live import (
    ChannelGone,
    ChannelSeen,
    Doubt,
    GuildSeen,
    LiveBatch,
    LiveEvent,
    MessageSeen,
    MessagesGone,
    ReactionChange,
    ReactionsCleared,
)

_Place = tuple[ChannelId, MessageId]


@dataclass(slots=True)
class Fold:
    """Batch of one guild's events, in the order of the session."""

    view: GuildView
    forgotten: Collection[ChannelId] = ()  #: channels that are suppressed
    before: int = 0  #: messages below this id are past retention
    strangers: set[ChannelId] = field(default_factory=set)  #: unknown channels with events
    _events: int = 0
    _messages: dict[_Place, MessageSeen] = field(default_factory=dict)
    _deleted: dict[_Place, None] = field(default_factory=dict)
    _cleared: dict[tuple[_Place, str | None], ReactionsCleared] = field(default_factory=dict)
    _reactions: dict[tuple[_Place, str], ReactionChange] = field(default_factory=dict)
    _doubts: dict[_Place, Doubt] = field(default_factory=dict)
    _channels: dict[ChannelId, Channel] = field(default_factory=dict)
    _gone_channels: dict[ChannelId, None] = field(default_factory=dict)

    def is_full_for(self, event: LiveEvent) -> bool:
        """Return whether the event belongs to the next batch: each version of a message is kept."""
        if not isinstance(event, MessageSeen):
            return False
        earlier = self._messages.get((event.channel_id, event.message.id))
        return earlier is not None and _version(earlier) != _version(event)

    def add(self, event: LiveEvent) -> None:
        """Add the next event, and let the view follow it."""
        self.view.apply(event)
        match event:
            case ChannelSeen():
                self._see(event.channel)
            case GuildSeen():
                for channel in event.channels:
                    self._see(channel)
            case ChannelGone():
                if not self.view.is_forgotten(event.channel_id, self.forgotten):
                    self._channels.pop(event.channel_id, None)
                    self._gone_channels[event.channel_id] = None
            case (
                MessageSeen() | MessagesGone() | ReactionChange() | ReactionsCleared() | Doubt()
            ) if self._is_kept(event.channel_id):
                self._add_of_message(event)
                self._events += 1

    def batch(self) -> LiveBatch:
        """Return what is to be stored."""
        return LiveBatch(
            self._events,
            tuple(self._messages.values()),
            tuple(self._deleted),
            tuple(self._cleared.values()),
            tuple(change for change in self._reactions.values() if change.count),
            tuple(self._doubts.values()),
            tuple(self._channels.values()),
            tuple(self._gone_channels),
        )

    def _see(self, channel: Channel) -> None:
        """Record what a run would: channels with a type, threads with a parent."""
        is_thread = channel.type in channel_types.THREADS
        lacks_parent = is_thread and "parent_id" in channel.unreadable
        if "type" in channel.unreadable or lacks_parent:
            return
        parent_id = channel.parent_id if is_thread else None
        if channel.id in self.forgotten or parent_id in self.forgotten:
            return
        self._gone_channels.pop(channel.id, None)
        self._channels[channel.id] = channel

    def _is_kept(self, channel_id: ChannelId) -> bool:
        if self.view.is_forgotten(channel_id, self.forgotten):
            return False
        is_readable = self.view.is_readable(channel_id)
        if is_readable is None:
            self.strangers.add(channel_id)
        return bool(is_readable)

    def _add_of_message(
        self, event: MessageSeen | MessagesGone | ReactionChange | ReactionsCleared | Doubt
    ) -> None:
        match event:
            case MessageSeen():
                self._add_message(event)
            case MessagesGone():
                for message_id in event.message_ids:
                    place = (event.channel_id, message_id)
                    if message_id >= self.before:
                        self._deleted[place] = None
                        self._forget_reactions(place)
            case ReactionChange():
                self._add_reaction(event)
            case ReactionsCleared():
                place = (event.channel_id, event.message_id)
                if place not in self._deleted and event.message_id >= self.before:
                    self._forget_reactions(place, event.emoji)
                    self._cleared[place, event.emoji] = event
            case Doubt():
                if event.message_id >= self.before:
                    self._doubts[event.channel_id, event.message_id] = event

    def _add_message(self, event: MessageSeen) -> None:
        place = (event.channel_id, event.message.id)
        if event.message.id < self.before:
            return
        earlier = self._messages.get(place)
        if earlier is not None and _is_newer(earlier, event):
            return
        if event.has_reactions:
            self._forget_reactions(place)
        self._messages[place] = event

    def _add_reaction(self, event: ReactionChange) -> None:
        place = (event.channel_id, event.message_id)
        if place in self._deleted or event.message_id < self.before:
            return
        earlier = self._reactions.get((place, event.emoji))
        if earlier is not None:
            event = ReactionChange(
                event.channel_id,
                event.message_id,
                event.emoji,
                earlier.count + event.count,
                earlier.burst_count + event.burst_count,
            )
        self._reactions[place, event.emoji] = event

    def _forget_reactions(self, place: _Place, emoji: str | None = None) -> None:
        for key in [key for key in self._reactions if key[0] == place]:
            if emoji is None or key[1] == emoji:
                del self._reactions[key]


def _version(seen: MessageSeen) -> tuple[object, ...]:
    return seen.message.content, seen.message.edited_at


def _is_newer(earlier: MessageSeen, later: MessageSeen) -> bool:
    """Return whether the event that came first has the later edit."""
    first, second = earlier.message.edited_at, later.message.edited_at
    return first is not None and (second is None or first > second)
