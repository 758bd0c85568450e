"""Time to the first request: of a local run, and of a job on a cluster.

    uv run python tests/bench/bench_startup.py [--repeat 3]

Cold: nothing of what the program needs is in the system's file cache, as on a machine that has
just booted (root alone can arrange that). Warm: it ran a moment ago. The baseline is a program
that imports discord.py and asks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.emulator import Emulator, EmulatorThread, GuildSpec, Limits, World, generate_guild
from raysync.store.server import migrate
from tests.bench.figures import aligned, machine
from tests.bench.harness import BenchError, laboratory
from tests.cluster.installation import TOKEN, Installation, environ_of, ray_environ
from tests.cluster.ray_head import running_head

REPEAT = 3
WITHIN_S = 180.0
PYTHON_M = [sys.executable, "-m"]
_CACHES = Path("/proc/sys/vm/drop_caches")
_ROOT = Path(__file__).resolve().parent.parent.parent


def measure(repeat: int) -> None:
    """Measure each, and print the table."""
    print(machine(), flush=True)
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    with laboratory() as lab, EmulatorThread(world, limits=Limits(speed=20.0)) as emulator:
        migrate.upgrade(lab.server_url)
        here = Installation(lab.server_url, environ_of(lab.server_url, str(lab.home)))
        here = here.for_emulator(emulator).with_environ(PATH=_path())
        here.add_tenant("takaro", guild_id)
        plain = lab.server_url.replace("postgresql+psycopg", "postgresql")
        start = [*PYTHON_M, "raysync", "start", "--tenant", "takaro"]
        walk = [*PYTHON_M, "tests.bench.baseline", "--url", emulator.url, "--token", TOKEN]
        walk += ["--guild", str(guild_id), "--channels", "1", "--database-url", plain]
        rows = {
            "one discord.py client": _times(emulator, walk, here.environ, repeat),
            "raysync start": _times(emulator, start, here.environ, repeat),
        }
        with (
            tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as directory,
            running_head(Path(directory), here.environ) as head,
        ):
            submit = [*PYTHON_M, "ray.scripts.scripts", "job", "submit", "--address"]
            submit += [head.dashboard_url, "--", "python", "-m", "raysync", "start"]
            submit += ["--tenant=takaro"]
            rows["ray job submit"] = _times(emulator, submit, ray_environ(), repeat)
    table = [[name, *(f"{time:.1f}" for time in times)] for name, times in rows.items()]
    print(aligned(["seconds to the first request", "cold", "warm"], table))


def _path() -> str:
    """Return a PATH whose `python` is this interpreter."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def _times(
    emulator: Emulator, command: Sequence[str], environ: Mapping[str, str], repeat: int
) -> tuple[float, float]:
    """Return the cold time and the median of the warm times."""
    os.sync()
    _CACHES.write_text("3")
    cold = _first_request_s(emulator, command, environ)
    warm = [_first_request_s(emulator, command, environ) for _ in range(repeat)]
    print(f"  {' '.join(command[2:4])}: {cold:.1f}; {', '.join(f'{each:.1f}' for each in warm)}")
    return cold, statistics.median(warm)


def _first_request_s(
    emulator: Emulator, command: Sequence[str], environ: Mapping[str, str]
) -> float:
    seen, began_s = len(emulator.log.entries), time.time()
    program = subprocess.Popen(
        command, env=environ, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said, _ = program.communicate(timeout=WITHIN_S)
    if program.returncode or len(emulator.log.entries) == seen:
        raise BenchError(said)
    return emulator.log.entries[seen].at_s - began_s


@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may empty the file cache")
def test_startup() -> None:
    measure(REPEAT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=REPEAT)
    measure(parser.parse_args().repeat)
