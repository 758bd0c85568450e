"""Listener of one guild: its events as batches of its tenant, under its rules on people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from raysync.clock import Clock
from raysync.errors import UnknownTenantError
from raysync.live.folding import Fold
from raysync.live.guild_view import GuildView
from raysync.live.ports import ListeningLog, ReadingRules
from raysync.live.tempo import Tempo
from raysync.models.entities import Channel
from raysync.models.ids import ChannelId, GuildId, TenantId
from raysync.models.live import Dispatch, GuildGone, GuildSeen, LiveBatch, TenantBatch
from raysync.models.work import KnownChannel
from raysync.sync.ports import ChannelCatalog


class GuildListener:
    """One tenant, as a session hears it."""

    def __init__(
        self,
        tenant_id: TenantId,
        slug: str,
        guild_id: GuildId,
        catalog: ChannelCatalog,
        load_rules: Callable[[], Awaitable[ReadingRules]],
        describe: Callable[[], Awaitable[GuildSeen | None]],
        listening: ListeningLog,
        clock: Clock,
    ) -> None:
        """*describe* asks Discord for the guild as the gateway describes it; None: it is gone."""
        self.tenant_id = tenant_id
        self.slug = slug
        self.guild_id = guild_id
        self._catalog = catalog
        self._load_rules = load_rules
        self._describe = describe
        self._listening = listening
        self._clock = clock
        self._rules: ReadingRules | None = None
        self._view = GuildView()
        self.strangers: set[ChannelId] = set()  #: channels to be listed by a run
        self.is_listening = False  #: the session has described the guild
        self.is_renewed = False  #: it has done so again, which the session has not noted yet
        self.needs_settling = False  #: what happened before the session is not compared yet
        self.is_removed = False  #: the tenant does not exist any more
        self.tempo = Tempo()

    async def open(self, *, resumes: bool) -> None:
        """Read the rules and the stored threads.

        A session that a successor *resumes* does not describe the guild again: Discord is asked.

        Raises:
            ConfigurationError: a rotation of pseudonyms is unfinished.
        """
        self._rules = await self._load_rules()
        known: Sequence[KnownChannel] = await self._catalog.known()
        self._view = GuildView(known)
        state = await self._listening.state(self.tenant_id)
        self.needs_settling = state is None or state.settled_at is None
        if not resumes:
            return
        seen = await self._describe()
        if seen is not None:
            self._view.apply(seen)
            self.is_listening = state is not None and state.listened_since is not None

    @property
    def is_described(self) -> bool:
        """True if it is known what the bot may read."""
        return self._view.is_known

    async def renew_rules(self) -> None:
        """Read the rules again, because they were changed."""
        try:
            self._rules = await self._load_rules()
        except UnknownTenantError:
            self.is_removed, self.is_listening = True, False

    def batches(self, dispatches: Sequence[Dispatch]) -> list[TenantBatch]:
        """Return what the events change. Reading them again, under other rules, is safe."""
        rules = self._rules
        if rules is None:
            raise RuntimeError("the listener is not open")
        before = rules.horizon(self._clock.now())
        fold = Fold(self._view, rules.forgotten, before)
        folds = [fold]
        for dispatch in dispatches:
            for event in rules.read(dispatch):
                if fold.is_full_for(event):
                    fold = Fold(self._view, rules.forgotten, before)
                    folds.append(fold)
                fold.add(event)
                if isinstance(event, GuildSeen):
                    self.is_listening = self.is_renewed = True
                elif isinstance(event, GuildGone):
                    self.is_listening = False
        for each in folds:
            self.strangers |= each.strangers
        batches = (TenantBatch(self.tenant_id, rules.epoch, each.batch()) for each in folds)
        return [batch for batch in batches if batch.batch != LiveBatch()]

    async def record_channels(self, batches: Sequence[TenantBatch]) -> None:
        """Store the channels of the batches, before their messages."""
        channels: dict[ChannelId, Channel] = {}
        for batch in batches:
            channels |= {channel.id: channel for channel in batch.batch.channels}
        if channels:
            await self._catalog.record(list(channels.values()))

    async def mark_gone(self, batches: Sequence[TenantBatch]) -> None:
        """Mark the channels that the batches take away, with their threads."""
        gone = {id_ for batch in batches for id_ in batch.batch.gone_channels}
        if gone:
            known = await self._catalog.known()
            threads = {channel.id for channel in known if channel.parent_id in gone}
            await self._catalog.mark_deleted(gone | threads)

    def forget(self) -> None:
        """Note that the session is lost: the next one describes the guild anew."""
        self.is_listening = False
