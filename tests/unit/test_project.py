"""What the repository promises about itself: versions, names, sizes, and the commands it tells."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from raysync.cli.app import app

ROOT = Path(__file__).parents[2]
TOOLS = {"raysync", "pip", "uv", "setuptools"}  # what puts the rest there
MAX_MODULE_LINES = 400
MAX_MAP_LINES = 150
PROSE = [ROOT / "README.md", ROOT / "CLAUDE.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_INVOCATION = re.compile(r"(?<![\w/.-])raysync((?: +[^\s`|)#;&\"\\]+)+)")
_PATH = re.compile(r"[\w.*-]+(?:/[\w.*-]+)*/?")
_SUFFIXES = (".py", ".md", ".yaml", ".toml", ".txt")
_REGISTRY = re.compile(r"pypi[.]org|pythonhosted[.]org|index[-]url|extra[-]index")
_LOCKED_HOST = re.compile(r'registry = "https?://([^/"]+)')


def pins() -> list[str]:
    """The lines of constraints.txt that pin something."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def committed() -> list[Path]:
    """Every file that git tracks."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_constraints_pin_what_is_installed_here_and_nothing_else() -> None:
    wanted = [Requirement(pin) for pin in pins()]
    applying = [each for each in wanted if each.marker is None or each.marker.evaluate()]
    pinned = {canonicalize_name(each.name): str(each.specifier) for each in applying}
    installed = {
        name: f"=={each.version}"
        for each in distributions(path=[sysconfig.get_path("purelib")])
        if (name := canonicalize_name(each.metadata["Name"])) not in TOOLS
    }

    assert pinned == installed


def test_a_checkout_is_held_to_the_same_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert project["tool"]["uv"]["constraint-dependencies"] == pins()


def test_no_committed_file_names_a_package_registry() -> None:
    lock = ROOT / "uv.lock"
    hosts = set(_LOCKED_HOST.findall(lock.read_text())) if lock.exists() else set()
    files = committed()
    texts = {path: path.read_text(errors="replace") for path in files}
    naming = [path for path, text in texts.items() if any(host in text for host in hosts)]
    naming += [path for path, text in texts.items() if _REGISTRY.search(text)]

    assert naming == []
    assert lock not in files


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in (ROOT / "raysync").rglob("*.py")
    }

    assert {name: length for name, length in lengths.items() if length > MAX_MODULE_LINES} == {}


@pytest.fixture
def map_text() -> str:
    """CLAUDE.md, the map of the code."""
    path = ROOT / "CLAUDE.md"
    if not path.exists():
        pytest.skip("there is no CLAUDE.md yet")
    return path.read_text()


def test_the_map_is_short_and_tells_the_commands(map_text: str) -> None:
    lines = map_text.splitlines()

    assert len(lines) <= MAX_MAP_LINES
    assert any(line.startswith("#") and line.endswith("Sync Management Commands") for line in lines)


def test_every_path_on_the_map_exists(map_text: str) -> None:
    named = [
        text
        for text in _INLINE.findall(_FENCED.sub("", map_text))
        if _PATH.fullmatch(text) and ("/" in text or text.endswith(_SUFFIXES))
    ]

    assert [text for text in named if not is_somewhere(text)] == []


def is_somewhere(path: str) -> bool:
    """Whether a path exists from the root, or from a folder that the map is speaking of."""
    folders = ("raysync", "tests", "docs", "migrations", "jobs")
    below = (found for folder in folders for found in (ROOT / folder).rglob(path))
    return any(ROOT.glob(path)) or any(below)


def test_every_command_that_the_docs_name_exists() -> None:
    unknown = [
        f"{path.name}: raysync {' '.join(words)}: {problem}"
        for path in PROSE
        for words in invocations(path.read_text())
        if (problem := problem_of(words)) is not None
    ]

    assert unknown == []


def invocations(text: str) -> Iterator[list[str]]:
    """The words after each `raysync` in code, up to what a shell would take for something else."""
    code = _FENCED.findall(text) + _INLINE.findall(_FENCED.sub("", text))
    for each in code:
        for found in _INVOCATION.finditer(each):
            yield [word.rstrip(",:") for word in found.group(1).split()]


def problem_of(words: list[str]) -> str | None:
    """What the command line knows nothing of; None where it knows it all."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
    if "--" in rest and "submit" in words[:1]:  # what follows is a command of its own
        own = rest.index("--")
        if (problem := problem_of(rest[own + 1 :])) is not None:
            return problem
        rest = rest[:own]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    if "schedule" in words[:1]:  # it hands on what is start's
        start = typer.main.get_command(app).commands["start"]  # type: ignore[attr-defined]
        known |= {option for each in start.params for option in each.opts}
    given = [word.partition("=")[0] for word in rest if word.startswith("--") and word != "--"]
    unknown = [option for option in given if option not in known | {"--help"}]
    return f"no option {unknown[0]}" if unknown else None
