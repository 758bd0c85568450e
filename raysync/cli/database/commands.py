"""Commands `raysync db`: the schema, the URL, and the embedded server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli.database import roles
from raysync.cli.output.console import print_line, say
from raysync.cli.output.hints import command_line, suggest

if TYPE_CHECKING:
    from raysync.settings import Settings

app = typer.Typer(help="Manage the database, its schema and its roles.", no_args_is_help=True)
app.command()(roles.grant_analyst)
app.command()(roles.revoke_analyst)
app.command()(roles.grant_worker)
app.command()(roles.revoke_worker)


@app.command()
def upgrade() -> None:
    """Upgrade the schema to this version.

    Does nothing if the schema is up to date. The embedded database is upgraded automatically.
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
        say(f"The schema was upgraded from {before or 'empty'} to {after}.")


@app.command()
def url() -> None:
    """Print the database's URL, with its password.

    Use it for psql and other tools. The embedded server is started if it is not running.
    """
    from raysync.database import database_url
    from raysync.settings import read_settings
    from raysync.store.connection.engine import url_for_others

    print_line(url_for_others(database_url(read_settings())))


@app.command()
def current() -> None:
    """Print the schema's revision."""
    from raysync.database import database_url
    from raysync.settings import read_settings
    from raysync.store.server.migrate import current as current_revision
    from raysync.store.server.migrate import head

    found, needed = current_revision(database_url(read_settings())), head()
    print_line(found or "empty")
    if found != needed:
        suggest(f"This version needs {needed}. Upgrade the schema:", command_line("db", "upgrade"))


@app.command()
def stop(
    force: Annotated[
        bool, typer.Option("--force", help="Stop the server even if a sync is using it.")
    ] = False,
) -> None:
    """Stop the embedded server.

    The next command that needs the server starts it again. The command refuses to stop a server
    that another command uses. A command that starts meanwhile waits until the server has stopped.
    """
    from raysync.errors import ConfigurationError
    from raysync.settings import read_settings
    from raysync.store.server.embedded import stop_embedded
    from raysync.store.server.embedded_use import unused

    settings = read_settings()
    if settings.database_url is not None:
        raise ConfigurationError(
            "RAYSYNC_DATABASE_URL names a server of your own, and raysync stops only its embedded "
            "server. Stop yours with its own tools."
        )
    with unused(settings.home) as is_unused:
        if not force:
            _refuse_in_use(settings, is_unused=is_unused)
        stopped = stop_embedded(settings.home)
    say("The embedded server was stopped." if stopped else "The embedded server was not running.")


def _refuse_in_use(settings: Settings, *, is_unused: bool) -> None:
    """Raise JobRunningError if a sync from any machine, or a command here, uses the server."""
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
            "Another raysync command uses the embedded server, perhaps a sync that is starting. "
            "Wait for it, or end it, then stop the server. --force stops it at once."
        )


async def _refuse_while_running(settings: Settings) -> None:
    from raysync.database import database_url
    from raysync.errors import JobRunningError
    from raysync.store.connection.engine import open_engine, reaching
    from raysync.store.server.health import running_jobs

    url = database_url(settings)
    # not open_store, which would upgrade the schema of a server that is about to stop
    engine = open_engine(url, pool_size=1, application_name="raysync")
    try:
        with reaching(url):
            running = [job_id for _, job_id in await running_jobs(engine)]
    finally:
        await engine.dispose()
    if running:
        raise JobRunningError(
            f"A sync is running on the embedded server ({', '.join(running)}). Wait for it, or "
            f"cancel it (`raysync cancel --job-id {running[0]}`), then stop the server. --force "
            "stops it at once."
        )
