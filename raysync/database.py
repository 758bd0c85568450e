"""Where the database is: the user's own, or the embedded one, started on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from raysync.errors import NotPermittedError
from raysync.models.outage import ServerState
from raysync.settings import Settings
from raysync.store.connection.engine import Engine, normalize_url, open_engine
from raysync.store.server.embedded import start_embedded
from raysync.store.server.embedded_keeper import ServerKeeper
from raysync.store.server.embedded_use import in_use
from raysync.store.server.migrate import require_current, upgrade
from raysync.store.server.roles import refused_to


def database_url(settings: Settings) -> str:
    """The URL of the database in use; the embedded server is started if it is not running.

    Raises:
        ConfigurationError: the URL is not one of PostgreSQL.
        DatabaseUnavailableError: the embedded server cannot run here.
    """
    if settings.database_url is not None:
        return normalize_url(settings.database_url.get_secret_value())
    return normalize_url(start_embedded(settings.home))


def ready_database_url(settings: Settings) -> str:
    """The same, its schema being this version's: the embedded one is brought there by itself.

    Raises:
        SchemaOutdatedError: the user's own database has another schema.
        DatabaseUnavailableError: it cannot be reached.
    """
    url = database_url(settings)
    if settings.database_url is None:
        upgrade(url)
    else:
        require_current(url)
    return url


@asynccontextmanager
async def open_store(
    settings: Settings, *, pool_size: int = 2, keeps_running: bool = True
) -> AsyncIterator[Engine]:
    """An engine on the database in use, its schema checked; disposed of at the end.

    The embedded server is kept from being stopped meanwhile by `db stop`, unless *keeps_running*
    is false.

    Raises:
        NotPermittedError: what was done needs another role; the sentence says which.
    """
    with ExitStack() as stack:
        if settings.database_url is None and keeps_running:
            await asyncio.to_thread(stack.enter_context, in_use(settings.home))
        url = await asyncio.to_thread(ready_database_url, settings)
        engine = open_engine(url, pool_size=pool_size, application_name="raysync")
        try:
            yield engine
        except NotPermittedError as error:
            raise await refused_to(engine, error) from None
        finally:
            await engine.dispose()


class EmbeddedServer:
    """The embedded server, as a run sees it that can start it again."""

    def __init__(self, keeper: ServerKeeper) -> None:
        self._keeper = keeper

    async def revive(self) -> ServerState:
        """See `ServerKeeper.revive`."""
        return await asyncio.to_thread(self._keeper.revive)

    def answered(self) -> None:
        """See `ServerKeeper.answered`."""
        self._keeper.answered()


def embedded_server(settings: Settings) -> EmbeddedServer | None:
    """Return the server that this machine can start again; None: it is the user's own."""
    if settings.database_url is not None:
        return None
    return EmbeddedServer(ServerKeeper(settings.home))
