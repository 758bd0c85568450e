"""Command `raysync demo`: a sync with no token, no database server and no Discord."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from raysync.cli.error_handling import EXIT_FAILED
from raysync.cli.output.console import out
from raysync.cli.output.invocation import invocation
from raysync.cli.output.streams import keep_exit_code
from raysync.cli.runs.start import exit_code, observer
from raysync.signals import ending_signals, leave_closed_terminal

if TYPE_CHECKING:
    from raysync.cli.demo.emulator_process import DemoEmulator
    from raysync.models.results import RunResult
    from raysync.settings import Settings

TENANT = "demo"
FAST_REQUESTS_PER_SECOND = 1000.0
NEW_CHANNELS = 8
NEW_MESSAGES = 40  # in each new channel
LIVE_MESSAGES = 4_000
_SQL = "select count(*), min(platform_created_at)::date as first from messages"

_DEMO_VARIABLES = ("RAYSYNC_HOME", "RAYSYNC_DISCORD_API_URL")


def demo(
    fast: Annotated[
        bool,
        typer.Option(
            "--fast", help="Sync without Discord's rate limits, as fast as this machine can."
        ),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the emulator and the database running afterwards.")
    ] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Then listen for a minute while people write, edit and delete."
        ),
    ] = False,
    messages: Annotated[
        int | None,
        typer.Option(
            min=1_000,
            max=1_000_000,
            metavar="N",
            help="Generate this number of messages in the emulated guild. [default: 40,000]",
        ),
    ] = None,
) -> None:
    """Try a sync without a token or a database server.

    The demo syncs an emulated Discord server into an embedded PostgreSQL at Discord's true rate
    limits, then once more after new messages. It takes under two minutes. It uses a folder of its
    own, and can be run again.

    With --live, a small server comes alive afterwards, and the copy follows before your eyes.
    """
    from raysync.cli.demo.emulator_process import LOOPBACK, start_emulator
    from raysync.discord_api.proxies import asked_directly
    from raysync.settings import read_settings

    keep_exit_code()
    home = read_settings().home / "demo"
    home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.mkdir(mode=0o700, exist_ok=True)
    _print("Starting an emulated Discord server and an embedded PostgreSQL …")
    with _ending_on_signals():
        if live and messages is None:
            messages = LIVE_MESSAGES
        emulator = start_emulator(
            home, limited=not fast, exits_with_parent=not keep, messages=messages
        )
        settings = _settings(home, emulator, fast=fast)
        code = EXIT_FAILED
        try:
            _print(f"The emulated API is at {emulator.url}. The copy is stored under {home}.")
            with asked_directly([LOOPBACK]):
                code = _two_runs(settings, emulator, fast=fast, live=live)
        finally:
            if code != 0 or not keep:
                _clean_up(emulator, settings)
    if code == 0:
        _print("\n".join(_next_steps(home, emulator if keep else None)))
    raise typer.Exit(code)


def _settings(home: Path, emulator: DemoEmulator, *, fast: bool) -> Settings:
    """Return the demo's own settings. They touch no real installation."""
    from raysync.settings import read_settings

    values: dict[str, object] = {
        "home": home,
        "database_url": None,
        "secret_key": None,
        "discord_api_url": emulator.url,
        "ray_address": None,
        "local_ray_idle_s": 0.0,  # its emulator and its database end with it, too
    }
    if fast:
        values["global_requests_per_second"] = FAST_REQUESTS_PER_SECOND
        values["channel_pages_per_second"] = FAST_REQUESTS_PER_SECOND
    return read_settings().model_copy(update=values)


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Make SIGTERM and a closed terminal unwind the stack, so that no process stays behind."""

    def leave(number: int, _frame: object) -> None:
        leave_closed_terminal()
        sys.exit(128 + number)

    handlers = {number: signal.signal(number, leave) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _clean_up(emulator: DemoEmulator, settings: Settings) -> None:
    from raysync.store.server.embedded import stop_embedded

    emulator.stop()
    stop_embedded(settings.home)


def _two_runs(settings: Settings, emulator: DemoEmulator, *, fast: bool, live: bool) -> int:
    asyncio.run(_renew_tenant(settings, emulator))
    limits = "without rate limits" if fast else "at Discord's true rate limits"
    _print(f"Tenant {TENANT} was added. First run: read everything, {limits}.\n")
    first = _sync(settings, fast=fast)
    if (code := exit_code(first)) != 0:
        return code
    new = NEW_CHANNELS * NEW_MESSAGES
    _print(f"\nNow {new} new messages are posted. Second run: read only what is new.\n")
    emulator.post_messages(_new_messages(first))
    code = exit_code(_sync(settings, fast=fast))
    if code == 0 and live:
        from raysync.cli.demo.live import show_live

        _print("\nNow the server comes alive for a minute. Ctrl-C ends it.\n")
        show_live(settings, emulator, _busiest(first), _print)
    return code


async def _renew_tenant(settings: Settings, emulator: DemoEmulator) -> None:
    """Add the demo tenant anew, without the copy of an earlier demo."""
    from raysync.credentials import DEMO, seal_token, secret_key
    from raysync.database import open_store
    from raysync.models.entities import Privacy
    from raysync.models.ids import GuildId
    from raysync.store.tenants import TenantStore

    sealed = seal_token(emulator.token, secret_key(settings))
    guild_id = GuildId(emulator.guild_id)
    async with open_store(settings) as engine:
        tenants = TenantStore(engine)
        for tenant in await tenants.list():
            await tenants.remove(tenant.slug)
        token_ref = (
            f"{DEMO}:{settings.discord_api_url}"  # so that it is never sent to the real Discord
        )
        await tenants.add(TENANT, guild_id, "Demo", token_ref, Privacy.PSEUDONYMOUS, sealed)


def _sync(settings: Settings, *, fast: bool) -> RunResult:
    from raysync.cli.progress.summary import print_result
    from raysync.run.driver import sync
    from raysync.run.requests import SyncRequest

    with observer() as progress:
        result = sync(SyncRequest(tenants=(TENANT,)), settings, progress)
    print_result(out(), result, limited=not fast)
    return result


def _new_messages(result: RunResult) -> list[tuple[int, str]]:
    """Return new messages, as channel id and content, for the channels with the most messages."""
    return [
        (channel_id, f"News of the day, number {number}")
        for channel_id in _busiest(result)
        for number in range(1, NEW_MESSAGES + 1)
    ]


def _busiest(result: RunResult) -> list[int]:
    """Return the channels with the most messages."""
    busiest = sorted(
        result.jobs[0].channel_results,
        key=lambda channel: channel.messages_processed,
        reverse=True,
    )
    return [int(channel.channel_id) for channel in busiest[:NEW_CHANNELS]]


def _next_steps(home: Path, kept: DemoEmulator | None) -> list[str]:
    """Return what to try next, in commands that work when pasted.

    *kept* is the emulator, if it keeps running.
    """
    command = invocation()
    steps = [
        "",
        "Now look at the copy. Paste these commands:",
        "",
        f"  export {_environment(home)}",
        f"  {command} status --tenant {TENANT}",
        f"  {command} export --tenant {TENANT} --format jsonl | head -3",
    ]
    if shutil.which("psql") is not None:
        steps.append(f'  psql "$({command} db url)" -c "{_SQL}"')
    steps += _when_kept(kept, command) if kept else _when_gone(home, command)
    own = f"{command} tenant add SLUG --guild ID --token-env NAME"
    return [
        *steps,
        "",
        "Sync your own Discord server:",
        "",
        f"  {own}",
        f"  {command} start",
    ]


def _when_kept(emulator: DemoEmulator, command: str) -> list[str]:
    from raysync.discord_api.proxies import proxies_here

    proxies = proxies_here()
    exempt = ",".join((*proxies.exempt, urlsplit(emulator.url).hostname or ""))
    return [
        f"  export RAYSYNC_DISCORD_API_URL={emulator.url}",
        *([f"  export NO_PROXY={exempt} no_proxy={exempt}"] if proxies.are_set else []),
        f"  {command} start --tenant {TENANT}",
        "",
        "The emulator and the database keep running. To stop them:",
        "",
        f"  kill {emulator.process.pid}; {command} db stop; unset {' '.join(_DEMO_VARIABLES)}",
    ]


def _when_gone(home: Path, command: str) -> list[str]:
    return [
        "",
        f"`{command} demo --keep` keeps the emulator running, to sync again. To clean up:",
        "",
        f"  {command} db stop; rm -r {shlex.quote(str(home))}; unset RAYSYNC_HOME",
    ]


def _environment(home: Path) -> str:
    """Return the variables that make later commands use the demo's folder, and nothing else."""
    masked = [
        name for name in ("RAYSYNC_DATABASE_URL", "RAYSYNC_SECRET_KEY") if os.environ.get(name)
    ]
    return " ".join([f"RAYSYNC_HOME={shlex.quote(str(home))}", *(f"{name}=" for name in masked)])


def _print(text: str) -> None:
    """Print prose, wrapped at words on a terminal, and indented commands without wrapping."""
    console = out()
    for line in text.split("\n"):
        is_command = line.startswith("  ")
        console.print(line, soft_wrap=is_command or not console.is_terminal)
