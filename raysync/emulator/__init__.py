"""A Discord REST server for tests, demonstrations and benchmarks.

It imports nothing else of raysync: an oracle must not share the bugs of what it judges.
"""

from raysync.emulator.generator import GuildSpec, generate_guild
from raysync.emulator.limits import Form, Headers, Limits, RouteLimit
from raysync.emulator.quirks import Quirks
from raysync.emulator.server import Emulator, EmulatorThread, serve
from raysync.emulator.world import World

__all__ = [
    "Emulator",
    "EmulatorThread",
    "Form",
    "GuildSpec",
    "Headers",
    "Limits",
    "Quirks",
    "RouteLimit",
    "World",
    "generate_guild",
    "serve",
]
