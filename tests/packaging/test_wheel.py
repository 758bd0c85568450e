"""The wheel, in an environment of its own, far from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)

_ASK_FOR_MIGRATIONS = (
    "from raysync.store.server.migrate import migrations_dir; print(migrations_dir())"
)


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment that holds the wheel and what it needs, and nothing else."""

    directory: Path

    @property
    def bin(self) -> Path:
        return self.directory / "venv" / "bin"

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, as a user who has nothing but it."""
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        bare = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
        return subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.directory,
            env=bare,
            capture_output=True,
            text=True,
            check=False,
        )


def uv(*arguments: str | Path) -> None:
    """Run uv; what it says is shown where it fails."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        ["uv", *arguments], cwd=ROOT, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def environment() -> Iterator[Environment]:
    """The wheel, built from this checkout and installed by its constraints."""
    with tempfile.TemporaryDirectory(prefix="raysync-wheel-") as name:
        made = Environment(Path(name))
        uv("build", "--quiet", "--wheel", "--out-dir", made.directory)
        (wheel,) = made.directory.glob("*.whl")
        uv("venv", "--quiet", "--python", sys.executable, made.directory / "venv")
        where: list[str | Path] = ["--python", made.bin / "python", "--compile-bytecode"]
        uv("pip", "install", "--quiet", *where, "-c", ROOT / "constraints.txt", wheel)
        yield made


def test_it_tells_its_version(environment: Environment) -> None:
    told = environment.run("raysync", "--version")

    assert (told.returncode, told.stderr) == (0, "")
    assert "0." in told.stdout


def test_its_migrations_are_its_own(environment: Environment) -> None:
    told = environment.run("python", "-c", _ASK_FOR_MIGRATIONS)
    directory = Path(told.stdout.strip())

    assert directory.is_relative_to(environment.directory / "venv"), told.stderr
    names = {path.name for path in (ROOT / "migrations" / "versions").glob("*.py")}
    assert {path.name for path in (directory / "versions").glob("*.py")} == names


def test_its_demo_syncs_twice(environment: Environment) -> None:
    demo = environment.run("raysync", "demo", "--fast", "--messages", "1000")

    assert demo.returncode == 0, demo.stderr
    assert "Second run" in demo.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_images_steps_make_an_environment_that_runs(tmp_path: Path) -> None:
    """What deploy/Dockerfile runs, in its order, in an environment in place of its base."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    steps = [line.removeprefix("RUN ") for line in text.splitlines() if line.startswith("RUN ")]
    uv("venv", "--quiet", "--seed", "--python", sys.executable, tmp_path / "venv")
    checkout = tmp_path / "raysync"
    checkout.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / name, checkout / name)
    for name in ("raysync", "migrations"):
        shutil.copytree(ROOT / name, checkout / name)
    shutil.copy(ROOT / "constraints.txt", tmp_path / "constraints.txt")
    path = f"{tmp_path}/venv/bin:/usr/bin:/bin"

    for step in steps:
        moved = step.replace("/tmp/", f"{tmp_path}/")
        done = subprocess.run(
            ["bash", "-ec", moved],
            cwd=checkout,
            env={"PATH": path, "HOME": str(tmp_path)} | _of_pip(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    told = subprocess.run(
        [tmp_path / "venv" / "bin" / "raysync", "--help"], capture_output=True, text=True
    )
    assert told.returncode == 0
    assert list((tmp_path / "venv").rglob("raysync/__pycache__/settings.*.pyc")), "compiled"


def _of_pip() -> dict[str, str]:
    """How pip reaches its packages here."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
