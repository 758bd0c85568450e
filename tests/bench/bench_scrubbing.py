"""Cost of pseudonymizing a message, compared with an earlier revision.

    uv run python tests/bench/bench_scrubbing.py [--against REVISION] [--rounds N]

Both run in turn in one process over the same payloads of the emulator, signed as Discord signs
them; the clock is the process's CPU time. Medians of the rounds, and of their ratios.
"""

from __future__ import annotations

import argparse
import importlib
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.discord_api.convert import message_from
from raysync.discord_api.people.pseudonyms import FullIdentity, Pseudonymizer
from raysync.emulator import GuildSpec, World, generate_guild
from raysync.emulator.world.messages import encode
from tests.bench.figures import aligned, machine

ROOT = Path(__file__).resolve().parents[2]
KEY = b"0123456789abcdef0123456789abcdef"
LIVELY = GuildSpec.lively(2_500)
SPECS = {
    "uniform": GuildSpec.uniform(2, 1_000),
    # without what earlier revisions made broken JSON of: a number that is a person's id
    "lively": replace(LIVELY, rates=replace(LIVELY.rates, odd_places=0.0)),
}
EARLIER = "raysync_earlier"
ROUNDS = 21

Payloads = list[dict[str, Any]]


@contextmanager
def earlier(revision: str) -> Iterator[None]:
    """Make the package of *revision* importable under another name."""
    packed = subprocess.run(
        ["git", "archive", revision, "raysync"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        package = (Path(folder) / "raysync").rename(Path(folder) / EARLIER)
        for module in package.rglob("*.py"):
            module.write_text(re.sub(r"\braysync\.", f"{EARLIER}.", module.read_text()))
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)


def payloads(spec: GuildSpec) -> Payloads:
    """Return the messages of a guild as in a page."""
    world = World(generate_guild(spec))
    (guild,) = world.guilds.values()
    pages = []
    for channel in guild.every_channel():
        for message_id in channel.log.ids:
            message = encode(world.resolve(channel.log.payload(message_id)))
            pages.append(orjson.loads(world.cdn.sign_encoded(message, 1_790_000_000)))
    return pages


def measure(against: str, rounds: int) -> None:
    """Print the table."""
    print(f"µs of CPU a message, beside {against}; {machine()}", flush=True)
    with earlier(against):
        privacy = importlib.import_module(f"{EARLIER}.discord_api.people.pseudonyms")
        convert = importlib.import_module(f"{EARLIER}.discord_api.convert")
    people, full = Pseudonymizer(KEY), FullIdentity()
    before, full_before = privacy.Pseudonymizer(KEY), privacy.FullIdentity()
    cases: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
        "scrubbed": (people.scrub, before.scrub),
        "scrubbed, full": (full.scrub, full_before.scrub),
        "converted": (
            lambda each: message_from(each, people),
            lambda each: convert.message_from(each, before),
        ),
    }
    rows = []
    for guild, spec in SPECS.items():
        messages = payloads(spec)
        for name, (now, then) in cases.items():
            times = [(_spent_us(now, messages), _spent_us(then, messages)) for _ in range(rounds)]
            medians = [statistics.median(each) for each in zip(*times, strict=True)]
            ratio = statistics.median(new / old for new, old in times)
            rows.append([f"{guild}, {name}", *(f"{each:.2f}" for each in medians), f"{ratio:.3f}"])
    print(aligned(["messages", "now", "then", "now / then"], rows))


def _spent_us(work: Callable[[Any], Any], messages: Payloads) -> float:
    began_s = time.process_time()
    for message in messages:
        work(message)
    return (time.process_time() - began_s) / len(messages) * 1e6


@pytest.mark.timeout(900)
def test_scrubbing() -> None:
    measure("HEAD", 5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", default="HEAD", metavar="REVISION")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    measure(given.against, given.rounds)
