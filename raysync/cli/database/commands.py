"""`raysync db`: the database, its schema and its roles."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli.database import roles
from raysync.cli.output.console import say, tell

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
    from raysync.store.server.migrate import current
    from raysync.store.server.migrate import upgrade as upgrade_schema

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
    from raysync.store.connection.engine import url_for_others

    tell(url_for_others(database_url(read_settings())))


@app.command()
def current() -> None:
    """Print the schema's revision."""
    from raysync.database import database_url
    from raysync.settings import read_settings
    from raysync.store.server.migrate import current as current_revision
    from raysync.store.server.migrate import head

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

    The next command that needs it starts it again. Refused while a command is at work on it; a
    command that begins meanwhile waits until it has stopped.
    """
    from raysync.errors import ConfigurationError
    from raysync.settings import read_settings
    from raysync.store.server.embedded import stop_embedded
    from raysync.store.server.embedded_use import unused

    settings = read_settings()
    if settings.database_url is not None:
        raise ConfigurationError(
            "RAYSYNC_DATABASE_URL names a server of your own, which raysync does not stop."
        )
    with unused(settings.home) as is_unused:
        if not force:
            _refuse_in_use(settings, is_unused=is_unused)
        stopped = stop_embedded(settings.home)
    say("The embedded server is stopped." if stopped else "The embedded server was not running.")


def _refuse_in_use(settings: Settings, *, is_unused: bool) -> None:
    """Refuse while a sync runs on the server, wherever its driver is, or a command uses it here."""
    from raysync.errors import DatabaseUnavailableError, JobRunningError
    from raysync.store.server.embedded import embedded_running

    if embedded_running(settings.home):
        try:
            asyncio.run(_refuse_while_running(settings))
        except DatabaseUnavailableError:
            if not is_unused:
                raise
    if not is_unused:
        raise JobRunningError(
            "Another raysync command is at work on the embedded server, a sync that is only "
            "beginning perhaps: wait for it, or end it, then stop the server; --force stops it at "
            "once."
        )


async def _refuse_while_running(settings: Settings) -> None:
    from raysync.database import database_url
    from raysync.errors import JobRunningError
    from raysync.store.connection.engine import open_engine, reaching
    from raysync.store.server.health import running_jobs

    url = database_url(settings)
    # its schema is left as it is: it is to be stopped
    engine = open_engine(url, pool_size=1, application_name="raysync")
    try:
        with reaching(url):
            running = [job_id for _, job_id in await running_jobs(engine)]
    finally:
        await engine.dispose()
    if running:
        raise JobRunningError(
            f"A sync is running on the embedded server ({', '.join(running)}): wait for it, or end "
            f"it (`raysync cancel --job-id {running[0]}`), then stop the server; --force stops it "
            "at once."
        )
