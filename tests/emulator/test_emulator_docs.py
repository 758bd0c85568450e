"""What docs/emulator.md lists is what the emulator has."""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from raysync.emulator import Edits, Quirks

pytestmark = pytest.mark.unit

DOCS = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()


def rows_under(heading):
    """Return the first column of the table under a heading."""
    section = DOCS.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^|]+?)` \|", section, re.MULTILINE)


def test_every_edit_is_listed_with_its_arguments():
    edits = [
        (name, inspect.signature(method))
        for name, method in inspect.getmembers(Edits, inspect.isfunction)
        if not name.startswith("_") and name != "apply"
    ]
    listed = [
        " ".join([name, *(each for each in signature.parameters if each != "self")])
        for name, signature in edits
    ]

    assert sorted(rows_under("Edits")) == sorted(listed)


def test_every_quirk_is_listed():
    section = DOCS.partition("| quirk |")[2].partition("\n\n")[0]

    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(
        each.name for each in fields(Quirks)
    )
