"""The governor's name changes with each module whose code runs in its actor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import raysync
from raysync.actors.code_hash import code_hash
from raysync.actors.governor import CODE, governor_name

LISTING = """
import json, sys
import raysync.actors.governor
print(json.dumps([
    module.__file__ for name, module in list(sys.modules.items()) if name.startswith("raysync.")
]))
"""


def test_all_modules_of_the_governor_are_in_its_hash() -> None:
    root = Path(raysync.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", LISTING], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = [Path(name).relative_to(root) for name in json.loads(done.stdout)]

    left_out = {
        module.as_posix()
        for module in loaded
        if not any(module.is_relative_to(part) for part in CODE) and has_code(root / module)
    }

    assert left_out == set()


def has_code(module: Path) -> bool:
    """Return whether a module is more than a docstring."""
    lines = module.read_text().split('"""')[2:]
    return bool("".join(lines).strip())


@pytest.mark.parametrize("changed", ["governor.py", "rules/second.py"])
def test_a_change_in_any_module_gives_another_name(tmp_path: Path, changed: str) -> None:
    (tmp_path / "rules").mkdir()
    for name in ("governor.py", "rules/first.py", "rules/second.py", "other.py"):
        (tmp_path / name).write_text(f"NAME = '{name}'")
    parts = ("governor.py", "rules")
    before = code_hash(parts, tmp_path)
    (tmp_path / "other.py").write_text("NAME = 'changed'")
    assert code_hash(parts, tmp_path) == before

    (tmp_path / changed).write_text("NAME = 'changed'")

    assert code_hash(parts, tmp_path) != before


def test_the_name_stays_the_same_between_calls() -> None:
    assert governor_name() == governor_name()
