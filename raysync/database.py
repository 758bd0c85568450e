"""Choice of the database: the user's own, or the embedded one, started on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Final

from raysync.errors import NotPermittedError
from raysync.models.outage import ServerState
from raysync.settings import Settings
from raysync.store.connection.engine import Engine, normalize_url, open_engine
from raysync.store.connection.sessions import STATEMENT_TIMEOUT_S
from raysync.store.server.embedded import start_embedded
from raysync.store.server.embedded_keeper import ServerKeeper
from raysync.store.server.embedded_use import in_use
from raysync.store.server.migrate import require_current, upgrade
from raysync.store.server.roles import refused_to

LOOK_TIMEOUT_S: Final = 10
"""Limit of each statement of a command that only shows something, whatever the archive's size."""


def database_url(settings: Settings) -> str:
    """Return the URL of the database in use. Start the embedded server if it does not run.

    Raises:
        ConfigurationError: the URL is no PostgreSQL URL.
        DatabaseUnavailableError: the embedded server cannot run here.
    """
    if settings.database_url is not None:
        return normalize_url(settings.database_url.get_secret_value())
    return normalize_url(start_embedded(settings.home))


def ready_database_url(settings: Settings) -> str:
    """Return the URL of the database in use, with a current schema. Upgrade only an embedded one.

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
    settings: Settings,
    *,
    pool_size: int = 2,
    keeps_running: bool = True,
    timeout_s: int = STATEMENT_TIMEOUT_S,
) -> AsyncIterator[Engine]:
    """Open an engine on the database in use, with its schema checked. Dispose of it at the end.

    *keeps_running* keeps `db stop` from stopping the embedded server meanwhile. *timeout_s* limits
    each statement: `LOOK_TIMEOUT_S` for a command that only shows something.

    Raises:
        NotPermittedError: the connected role may not do this; the error says which role may.
    """
    with ExitStack() as stack:
        if settings.database_url is None and keeps_running:
            await asyncio.to_thread(stack.enter_context, in_use(settings.home))
        url = await asyncio.to_thread(ready_database_url, settings)
        engine = open_engine(
            url, pool_size=pool_size, application_name="raysync", timeout_s=timeout_s
        )
        try:
            yield engine
        except NotPermittedError as error:
            raise await refused_to(engine, error) from None
        finally:
            await engine.dispose()


class EmbeddedServer:
    """Embedded server, as a run that can restart it sees it."""

    def __init__(self, keeper: ServerKeeper) -> None:
        self._keeper = keeper

    async def revive(self) -> ServerState:
        """See `ServerKeeper.revive`."""
        return await asyncio.to_thread(self._keeper.revive)

    def answered(self) -> None:
        """See `ServerKeeper.answered`."""
        self._keeper.answered()


def embedded_server(settings: Settings) -> EmbeddedServer | None:
    """Return the server that this machine can restart; None for the user's own database."""
    if settings.database_url is not None:
        return None
    return EmbeddedServer(ServerKeeper(settings.home))
