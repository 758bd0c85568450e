"""`raysync db`: the database, its schema and its roles."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import roles
from raysync.cli.console import say, tell

if TYPE_CHECKING:
    from raysync.settings import Settings

app = typer.Typer(help="The database, its schema and its roles.", no_args_is_help=True)
app.command()(roles.grant_analyst)
app.command()(roles.revoke_analyst)
app.command()(roles.grant_worker)
app.command()(roles.revoke_worker)


@app.command()
def upgrade() -> None:
    """Bring the schema to what this version needs.

    Harmless when it is there already. The embedded database is upgraded by itself.
    """
    from raysync.database import database_url
    from raysync.settings import read_settings
    from raysync.store.migrate import current
    from raysync.store.migrate import upgrade as upgrade_schema

    url = database_url(read_settings())
    before = current(url)
    upgrade_schema(url)
    after = current(url)
    if before == after:
        say(f"The schema is up to date: {after}.")
    else:
        say(f"The schema is now {after}; it was {before or 'empty'}.")


@app.command()
def url() -> None:
    """Print the database's URL, password included.

    For psql and the like. The embedded server is started if it is not running.
    """
    from raysync.database import database_url
    from raysync.settings import read_settings
    from raysync.store.engine import url_for_others

    tell(url_for_others(database_url(read_settings())))


@app.command()
def current() -> None:
    """Print the schema's revision."""
    from raysync.database import database_url
    from raysync.settings import read_settings
    from raysync.store.migrate import current as current_revision
    from raysync.store.migrate import head

    found, needed = current_revision(database_url(read_settings())), head()
    tell(found or "empty")
    if found != needed:
        say(f"This version needs {needed}: run `raysync db upgrade`.")


@app.command()
def stop(
    force: Annotated[
        bool, typer.Option("--force", help="Stop it also where a sync is running on it.")
    ] = False,
) -> None:
    """Stop the embedded server.

    The next command that needs it starts it again. Refused while a sync is running on it.
    """
    from raysync.errors import ConfigurationError
    from raysync.settings import read_settings
    from raysync.store.embedded import embedded_running, stop_embedded

    settings = read_settings()
    if settings.database_url is not None:
        raise ConfigurationError(
            "RAYSYNC_DATABASE_URL names a server of your own, which raysync does not stop."
        )
    if not force and embedded_running(settings.home):
        asyncio.run(_refuse_while_running(settings))
    stopped = stop_embedded(settings.home)
    say("The embedded server is stopped." if stopped else "The embedded server was not running.")


async def _refuse_while_running(settings: Settings) -> None:
    from raysync.database import database_url
    from raysync.errors import JobRunningError
    from raysync.store.engine import open_engine
    from raysync.store.health import running_jobs

    # its schema is left as it is: it is to be stopped
    engine = open_engine(database_url(settings), pool_size=1, application_name="raysync")
    try:
        running = [job_id for _, job_id in await running_jobs(engine)]
    finally:
        await engine.dispose()
    if running:
        raise JobRunningError(
            f"A sync is running on the embedded server ({', '.join(running)}): wait for it, or end "
            f"it (`raysync cancel --job-id {running[0]}`), then stop the server; --force stops it "
            "at once."
        )
