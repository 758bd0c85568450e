"""Extras of a job, such as reactors and attachments, wired into the engine."""

from __future__ import annotations

from raysync.discord_api.attachments import AttachmentSource
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import Identities
from raysync.discord_api.reactors import ReactorLists
from raysync.models.extras import Extras
from raysync.models.ids import GuildId
from raysync.store.archive.blobs import open_blob_store
from raysync.store.archive.extras import ExtrasStore
from raysync.store.connection.engine import Engine
from raysync.sync.channels.extras import Extra
from raysync.sync.channels.files import Files
from raysync.sync.channels.reactors import Reactors


class JobExtras:
    """Extras of one job in one worker; none unless the user requests them."""

    def __init__(
        self,
        wanted: Extras,
        client: DiscordClient,
        identities: Identities,
        engine: Engine,
        guild_id: GuildId,
    ) -> None:
        """Raise ConfigurationError where the blob store for attachments cannot be used."""
        store = ExtrasStore(engine)
        self._attachments = AttachmentSource(client.transport)
        self.all: list[Extra] = []
        if wanted.reactors:
            self.all.append(Reactors(ReactorLists(client.transport, identities), store))
        if wanted.files is not None:
            blobs = open_blob_store(wanted.files.url, guild_id)
            self.all.append(Files(self._attachments, store, blobs, wanted.files))

    async def close(self) -> None:
        """Close the connections."""
        await self._attachments.close()
