"""CPU profile of a worker without limits: the pipeline's run under py-spy.

    uv run python tests/bench/bench_profile.py

One worker, sampled while it holds the interpreter. Samples are shared out among packages by the
innermost frame that is in one, and among raysync's functions by them and all they call.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.bench_pipeline import SETTINGS, SPEC
from tests.bench.discord_process import UNLIMITED, Offer, discord_process
from tests.bench.figures import aligned, machine
from tests.bench.harness import laboratory

WORKER, OWN = "ray::ChannelSync", "raysync/"
SAMPLES_PER_S, SAMPLED_S, SHOWN = 100, 8, 24
STARTS_WITHIN_S = 120.0
_FRAME = re.compile(r"(?P<function>.*) \((?P<file>[^()]*?)(:\d+)?\)$")


@dataclass(frozen=True, slots=True)
class Frame:
    """Function and its file below the packages' directory; a builtin's file has no '/'."""

    function: str
    file: str

    @classmethod
    def of(cls, text: str) -> Frame:
        """Parse a frame of py-spy's output."""
        found = _FRAME.match(text)
        return cls(found["function"], found["file"]) if found else cls(text, "")

    @property
    def package(self) -> str | None:
        """Package or raysync module of the frame; None for the standard library."""
        if self.file.startswith(OWN):
            return self.file
        package, below, _ = self.file.partition("/")
        return package if below and package != "asyncio" else None


def measure() -> None:
    """Run, sample, and print two tables."""
    print(machine(), flush=True)
    with laboratory() as lab, discord_process(Offer(SPEC, UNLIMITED)) as discord:
        samples = lab.home / "samples.txt"
        sampler = threading.Thread(target=_sample, args=(samples,))
        sampler.start()
        run = lab.sync(discord, 1, SETTINGS)
        sampler.join()
        stacks = list(_stacks(samples))
    print(f"  {run.messages_per_s:,.0f} messages/s under py-spy", flush=True)
    packages, functions = Counter[str](), Counter[str]()
    for stack, seen in stacks:
        inner = next((each.package for each in reversed(stack) if each.package), "asyncio")
        packages[inner] += seen
        for frame in {each for each in stack if each.file.startswith(OWN)}:
            functions[f"{frame.function} ({frame.file})"] += seen
    total = sum(seen for _, seen in stacks)
    print(_shares("where", packages, total))
    print()
    print(_shares("function, and what it calls", functions, total))


def _shares(title: str, seen: Counter[str], total: int) -> str:
    rows = [[name, f"{count / total:.1%}"] for name, count in seen.most_common(SHOWN)]
    return aligned([title, "of the samples"], rows)


def _sample(samples: Path) -> None:
    """Wait for the worker, which has work at once, and sample it."""
    give_up_s = time.monotonic() + STARTS_WITHIN_S
    while (worker := _worker()) is None and time.monotonic() < give_up_s:
        time.sleep(0.05)
    command = [
        str(Path(sys.executable).with_name("py-spy")),
        "record",
        "--pid",
        str(worker),
        "--format",
        "raw",
        "--gil",
    ]
    command += ["--nonblocking", "--rate", str(SAMPLES_PER_S), "--duration", str(SAMPLED_S)]
    subprocess.run([*command, "--output", str(samples)], check=True, capture_output=True)


def _worker() -> int | None:
    """Return the first worker below this process."""
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[0].startswith(WORKER):
                return int(process.pid)
        except (psutil.Error, IndexError):  # it has ended
            continue
    return None


def _stacks(samples: Path) -> Iterator[tuple[list[Frame], int]]:
    """Yield each stack, outermost frame first, and its number of samples."""
    for line in samples.read_text(encoding="utf-8").splitlines():
        frames, _, count = line.rpartition(" ")
        yield [Frame.of(each) for each in frames.split(";")], int(count)


@pytest.mark.timeout(900)
def test_profile() -> None:
    measure()


if __name__ == "__main__":
    measure()
