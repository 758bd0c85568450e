"""A Discord REST server for tests, demonstrations and benchmarks.

It imports nothing else of raysync: an oracle must not share the bugs of what it judges.
"""

from raysync.emulator.api.quirks import MissingForm, Quirks
from raysync.emulator.api.routes import route_names
from raysync.emulator.corpus import Corpus, load_corpus
from raysync.emulator.edits import Edits
from raysync.emulator.faults import Action, FaultRule
from raysync.emulator.generator import GuildSpec, generate_guild
from raysync.emulator.limits import BanBody, Form, Headers, Limits, Refusals, RouteLimit
from raysync.emulator.serving.emulator import Emulator
from raysync.emulator.serving.latency import Latency
from raysync.emulator.serving.server import EmulatorThread, serve
from raysync.emulator.world.entities import Guild
from raysync.emulator.world.world import World

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
    "MissingForm",
    "Quirks",
    "Refusals",
    "RouteLimit",
    "World",
    "generate_guild",
    "load_corpus",
    "route_names",
    "serve",
]
