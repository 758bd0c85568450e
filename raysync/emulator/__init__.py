"""A Discord REST server for tests, demonstrations and benchmarks.

It imports nothing else of raysync: an oracle must not share the bugs of what it judges.
"""

from raysync.emulator.corpus import Corpus, load_corpus
from raysync.emulator.edits import Edits
from raysync.emulator.entities import Guild
from raysync.emulator.faults import Action, FaultRule
from raysync.emulator.generator import GuildSpec, generate_guild
from raysync.emulator.limits import BanBody, Form, Headers, Limits, Refusals, RouteLimit
from raysync.emulator.quirks import Quirks
from raysync.emulator.server import Emulator, EmulatorThread, Latency, serve
from raysync.emulator.world import World

__all__ = [
    "Action",
    "BanBody",
    "Corpus",
    "Edits",
    "Emulator",
    "EmulatorThread",
    "FaultRule",
    "Form",
    "Guild",
    "GuildSpec",
    "Headers",
    "Latency",
    "Limits",
    "Quirks",
    "Refusals",
    "RouteLimit",
    "World",
    "generate_guild",
    "load_corpus",
    "serve",
]
