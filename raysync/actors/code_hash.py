"""Hash of an actor's code, for the name of an actor that several versions of raysync may find."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import raysync

LENGTH = 12
"""Hexadecimal digits of a hash: enough to tell apart the versions on one cluster."""


def code_hash(parts: Sequence[str], root: Path | None = None) -> str:
    """Return the hash of all modules in *parts*: files and folders under *root*.

    *root* is raysync's own folder by default.
    """
    root = root or Path(raysync.__file__).parent
    whole = hashlib.sha256()
    for part in sorted(parts):
        path = root / part
        for module in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            whole.update(f"{module.relative_to(root).as_posix()}\0".encode())
            whole.update(hashlib.sha256(module.read_bytes()).digest())
    return whole.hexdigest()[:LENGTH]
