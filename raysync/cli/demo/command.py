"""`raysync demo`: everything, with no token, no database server and no Discord."""

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
from raysync.cli.output.hints import invocation
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
NEW_MESSAGES = 40  # in each of them
_SQL = "select count(*), min(platform_created_at)::date as first from messages"

_UNSET_LATER = ("RAYSYNC_HOME", "RAYSYNC_DISCORD_API_URL")


def demo(
    fast: Annotated[
        bool, typer.Option("--fast", help="Lift Discord's limits, to see the machine's.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the emulator and the database running.")
    ] = False,
    messages: Annotated[
        int | None,
        typer.Option(
            min=1_000,
            max=1_000_000,
            metavar="N",
            help="Messages in the emulated guild. [default: 40,000]",
        ),
    ] = None,
) -> None:
    """Watch a sync, with no token and no database server.

    An emulated Discord with a lively guild is synced into an embedded PostgreSQL, at Discord's
    true limits, then once more after new messages. It takes under two minutes, has a home of its
    own and can be run again.
    """
    from raysync.cli.demo.emulator_process import LOOPBACK, start_emulator
    from raysync.discord_api.proxies import asked_directly
    from raysync.settings import read_settings

    keep_exit_code()
    home = read_settings().home / "demo"
    home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.mkdir(mode=0o700, exist_ok=True)
    _tell("Starting an emulated Discord with a lively guild, and an embedded PostgreSQL …")
    with _ending_on_signals():
        emulator = start_emulator(
            home, limited=not fast, exits_with_parent=not keep, messages=messages
        )
        settings = _settings(home, emulator, fast=fast)
        code = EXIT_FAILED
        try:
            _tell(f"Discord's API is at {emulator.url}; the copy will be under {home}.")
            with asked_directly([LOOPBACK]):
                code = _two_runs(settings, emulator, fast=fast)
        finally:
            if code != 0 or not keep:
                _clean_up(emulator, settings)
    if code == 0:
        _tell("\n".join(_next_steps(home, emulator if keep else None)))
    raise typer.Exit(code)


def _settings(home: Path, emulator: DemoEmulator, *, fast: bool) -> Settings:
    """The demo's own: nothing of a real installation is touched, whatever the environment says."""
    from raysync.settings import read_settings

    own: dict[str, object] = {
        "home": home,
        "database_url": None,
        "secret_key": None,
        "discord_api_url": emulator.url,
        "ray_address": None,
    }
    if fast:
        own["global_requests_per_second"] = FAST_REQUESTS_PER_SECOND
        own["channel_pages_per_second"] = FAST_REQUESTS_PER_SECOND
    return read_settings().model_copy(update=own)


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Have SIGTERM and a closed terminal unwind the stack, so that no process is left behind."""

    def leave(number: int, _frame: object) -> None:
        leave_closed_terminal()
        sys.exit(128 + number)

    before = {each: signal.signal(each, leave) for each in ending_signals()}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _clean_up(emulator: DemoEmulator, settings: Settings) -> None:
    from raysync.store.server.embedded import stop_embedded

    emulator.stop()
    stop_embedded(settings.home)


def _two_runs(settings: Settings, emulator: DemoEmulator, *, fast: bool) -> int:
    asyncio.run(_renew_tenant(settings, emulator))
    limits = "with the limits lifted" if fast else "at Discord's true limits"
    _tell(f"Tenant {TENANT} is added. First run: everything, {limits}.\n")
    first = _sync(settings, fast=fast)
    if (code := exit_code(first)) != 0:
        return code
    new = NEW_CHANNELS * NEW_MESSAGES
    _tell(f"\nMeanwhile {new} new messages are written. Second run: only what is new.\n")
    emulator.post_messages(_news(first))
    return exit_code(_sync(settings, fast=fast))


async def _renew_tenant(settings: Settings, emulator: DemoEmulator) -> None:
    """Begin from nothing, also where an earlier demo left its copy."""
    from raysync.credentials import DEMO, seal_token, secret_key
    from raysync.database import open_store
    from raysync.models.entities import Privacy
    from raysync.models.ids import GuildId
    from raysync.store.tenants import TenantStore

    sealed = seal_token(emulator.token, secret_key(settings))
    guild_id = GuildId(emulator.guild_id)
    async with open_store(settings) as engine:
        tenants = TenantStore(engine)
        for each in await tenants.list():
            await tenants.remove(each.slug)
        token_ref = f"{DEMO}:{settings.discord_api_url}"  # at Discord's it would be a stranger's
        await tenants.add(TENANT, guild_id, "Demo", token_ref, Privacy.PSEUDONYMOUS, sealed)


def _sync(settings: Settings, *, fast: bool) -> RunResult:
    from raysync.cli.progress.summary import print_result
    from raysync.run.driver import sync
    from raysync.run.requests import SyncRequest

    with observer() as watching:
        result = sync(SyncRequest(tenants=(TENANT,)), settings, watching)
    print_result(out(), result, limited=not fast)
    return result


def _news(result: RunResult) -> list[tuple[int, str]]:
    """New messages for the channels that had the most."""
    busiest = sorted(
        result.jobs[0].channel_results, key=lambda each: each.messages_processed, reverse=True
    )[:NEW_CHANNELS]
    return [
        (int(each.channel_id), f"News of the day, number {number}")
        for each in busiest
        for number in range(1, NEW_MESSAGES + 1)
    ]


def _next_steps(home: Path, kept: DemoEmulator | None) -> list[str]:
    """What to try, in commands that work when pasted; *kept* is the emulator that goes on."""
    command = invocation()
    steps = [
        "",
        "Now look at the copy; these work as they stand:",
        "",
        f"  export {_environment(home)}",
        f"  {command} status --tenant {TENANT}",
        f"  {command} export --tenant {TENANT} --format jsonl | head -3",
    ]
    if shutil.which("psql") is not None:
        steps.append(f'  psql "$({command} db url)" -c "{_SQL}"')
    steps += _when_kept(kept, command) if kept else _when_gone(home, command)
    own = f"{command} tenant add SLUG --guild ID --token-env NAME"
    return [*steps, "", f"Your own server: {own}, then {command} start"]


def _when_kept(emulator: DemoEmulator, command: str) -> list[str]:
    from raysync.discord_api.proxies import proxies_here

    proxies = proxies_here()
    exempt = ",".join((*proxies.exempt, urlsplit(emulator.url).hostname or ""))
    return [
        f"  export RAYSYNC_DISCORD_API_URL={emulator.url}",
        *([f"  export NO_PROXY={exempt} no_proxy={exempt}"] if proxies.are_set else []),
        f"  {command} start --tenant {TENANT}",
        "",
        "The emulator and the database go on. To end them:",
        "",
        f"  kill {emulator.process.pid}; {command} db stop; unset {' '.join(_UNSET_LATER)}",
    ]


def _when_gone(home: Path, command: str) -> list[str]:
    return [
        "",
        f"`{command} demo --keep` leaves the emulator running, to sync again. When you are done:",
        "",
        f"  {command} db stop; rm -r {shlex.quote(str(home))}; unset RAYSYNC_HOME",
    ]


def _environment(home: Path) -> str:
    """What makes later commands use the demo's home, whatever a real installation has set."""
    masked = [
        each for each in ("RAYSYNC_DATABASE_URL", "RAYSYNC_SECRET_KEY") if os.environ.get(each)
    ]
    return " ".join([f"RAYSYNC_HOME={shlex.quote(str(home))}", *(f"{each}=" for each in masked)])


def _tell(text: str) -> None:
    """Print prose, wrapped at words on a terminal, and indented commands just as they are."""
    console = out()
    for line in text.split("\n"):
        is_command = line.startswith("  ")
        console.print(line, soft_wrap=is_command or not console.is_terminal)
