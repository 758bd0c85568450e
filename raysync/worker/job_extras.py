"""What a job reads beside messages, wired into the engine."""

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
from raysync.sync.extras import Extra, Files, Reactors


class JobExtras:
    """The extras of one job in one worker; none where the user asks for none."""

    def __init__(
        self,
        wanted: Extras,
        client: DiscordClient,
        identities: Identities,
        engine: Engine,
        guild_id: GuildId,
    ) -> None:
        """Raises ConfigurationError where attachments cannot be kept where they are to go."""
        store = ExtrasStore(engine)
        self._attachments = AttachmentSource(client.transport)
        self.all: list[Extra] = []
        if wanted.reactors:
            self.all.append(Reactors(ReactorLists(client.transport, identities), store))
        if wanted.files is not None:
            vault = open_blob_store(wanted.files.url, guild_id)
            self.all.append(Files(self._attachments, store, vault, wanted.files))

    async def close(self) -> None:
        """Let go of connections."""
        await self._attachments.close()
