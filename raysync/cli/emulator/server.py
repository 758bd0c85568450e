"""Emulator process: serves a plan until a signal ends it, and prints how to use it."""

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING

import typer

from raysync.cli.emulator.plan import EmulatorPlan
from raysync.cli.output.console import print_line
from raysync.cli.output.invocation import invocation
from raysync.cli.output.private_file import target, write_private
from raysync.signals import call_at_end

if TYPE_CHECKING:
    from raysync.emulator import Emulator

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def run_emulator(plan: EmulatorPlan) -> None:
    """Serve *plan* until SIGINT, SIGTERM or SIGHUP. Exit with 2 if it cannot listen."""
    try:
        asyncio.run(_serve_until_stopped(plan))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        print_line(
            f"Cannot listen on {plan.host}:{plan.port}: {reason}. Choose another --host or --port.",
            err=True,
        )
        raise typer.Exit(2) from None


async def _serve_until_stopped(plan: EmulatorPlan) -> None:
    from raysync.emulator import World
    from raysync.emulator import serve as serve_world

    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    call_at_end(stopped.set)
    world = World(*plan.guilds)
    for token, guild_ids in plan.bots:
        world.add_bot(token, guild_ids)
    async with serve_world(
        world,
        limits=plan.limits,
        quirks=plan.quirks,
        faults=plan.faults,
        latency=plan.latency,
        host=plan.host,
        port=plan.port,
    ) as emulator:
        if plan.ready_file is not None:
            write_private(target(str(plan.ready_file)), json.dumps(_ready(emulator, plan)))
        _announce(emulator, plan)
        await stopped.wait()


def _ready(emulator: "Emulator", plan: EmulatorPlan) -> dict[str, object]:
    """Return the content of the ready file."""
    return {
        "url": emulator.url,
        "port": int(emulator.origin.rpartition(":")[2]),
        "guilds": [str(guild.id) for guild in plan.guilds],
        "token": plan.tokens[0],
        "bots": [
            {"token": token, "guilds": [str(guild_id) for guild_id in guild_ids]}
            for token, guild_ids in plan.bots
        ],
        "pid": os.getpid(),
    }


def _announce(emulator: "Emulator", plan: EmulatorPlan) -> None:
    """Print the emulator's address, and the commands that use it."""
    if plan.host not in _LOOPBACK:
        print_line(f"Note: everybody who can reach {plan.host} can use this emulator.", err=True)
    counts = {
        guild.id: sum(len(channel.log.ids) for channel in guild.every_channel())
        for guild in plan.guilds
    }
    guilds = ", ".join(f"guild {guild_id}, {count} messages" for guild_id, count in counts.items())
    print_line(f"Emulator ready at {emulator.url}: {guilds}.")
    print_line(f"  export RAYSYNC_DISCORD_API_URL={emulator.url}")
    numbers = {guild_id: number for number, guild_id in enumerate(counts, 1)}
    for bot_number, (token, guild_ids) in enumerate(plan.bots, 1):
        variable = "DISCORD_TOKEN" if bot_number == 1 else f"DISCORD_TOKEN_{bot_number}"
        print_line(f"  export {variable}={token}")
        for guild_id in guild_ids:
            name = "emulated" if len(counts) == 1 else f"emulated-{numbers[guild_id]}"
            add = f"tenant add {name} --guild {guild_id} --token-env {variable}"
            print_line(f"  {invocation()} {add}")
