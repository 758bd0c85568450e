"""What commands a terminal or ends a line is escaped, whatever it stands in, and nothing else."""

from __future__ import annotations

import ast
import json
import logging
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysync.logs import JsonFormatter, TextFormatter
from raysync.visible import in_json, in_json_bytes, visible, visible_line

CLI = Path(__file__).parents[2] / "raysync" / "cli"
CONCATENATING = (
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
"""Signs that are seen, and enclose the digits behind them."""
JOINERS = "\u200c\u200d"
texts = st.text(st.characters(exclude_categories=()), max_size=40)


def commands() -> list[str]:
    """Every character that this Python knows to command, format, or end a line."""
    every = map(chr, range(sys.maxunicode + 1))
    found = [each for each in every if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp", "Cs")]
    left = set(CONCATENATING + JOINERS + "\t\n") | {chr(each) for each in range(0x13430, 0x13460)}
    return [each for each in found if each not in left]  # the last are of hieroglyphs


def test_every_character_that_commands_is_escaped():
    for each in commands():
        assert visible(each).isascii(), f"U+{ord(each):04X}"
        assert visible(each).isprintable()
        assert in_json(f'"{each}"').isascii()


def test_what_is_written_in_any_language_stays():
    for text in (
        "general\tx\n",
        "日本語",
        "👩‍👩‍👧 family",
        "चैट-क्‍ष",
        "général",
        "עברית العربية",
        "a\u00a0b “c” – d",
        CONCATENATING,
    ):
        assert visible(text) == text
        assert in_json(text) == text
        assert in_json_bytes(text.encode()) == text.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u2028b\x85c\rd", r"a\u2028b\x85c\rd".replace(r"\r", r"\x0d")),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
        ("\x7f", r"\x7f"),
    ],
)
def test_an_escape_says_which_it_was(text: str, shown: str):
    assert visible(text) == shown


def test_a_line_stays_one():
    assert visible_line("one\ntwo\x85three") == r"one\ntwo\x85three"
    assert len(visible_line("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029").splitlines()) == 1


@given(texts)
def test_json_means_the_same(text: str):
    written = json.dumps({text: [text]}, ensure_ascii=False)

    made = in_json(written)

    assert json.loads(made) == json.loads(written)
    assert len(made.splitlines()) == 1
    assert not set(made) & set(commands_in(made))


@given(texts.map(lambda text: text.encode(errors="ignore").decode()))
def test_bytes_of_json_become_the_same_as_its_text(text: str):
    written = json.dumps([text], ensure_ascii=False)

    assert in_json_bytes(written.encode()) == in_json(written).encode()


def commands_in(text: str) -> list[str]:
    return [each for each in text if visible(each) != each]


HOSTILE = "\x1b]0;owned\x07 \x9b31m \u202ex \u2028FORGED\x85FORGED\r\nFORGED"


def a_record(message: str) -> logging.LogRecord:
    level = logging.WARNING
    return logging.LogRecord("raysync.x", level, "x.py", 1, "it says %s", (message,), None)


def test_a_line_of_a_log_is_one_and_commands_nothing():
    record = a_record(HOSTILE)
    record.channel = HOSTILE
    text, line = TextFormatter().format(record), JsonFormatter({"role": HOSTILE}).format(record)

    for each in (text, line):
        assert len(each.splitlines()) == 1
        assert commands_in(each) == []
    assert json.loads(line)["channel"] == HOSTILE


WAYS_OUT = {
    "typer.echo",
    "typer.secho",
    "typer.confirm",
    "print",
    "input",
    "Console",
    "sys.stdout.write",
    "sys.stderr.write",
    "traceback.print_exc",
    "traceback.print_exception",
}


def used(tree: ast.AST) -> set[str]:
    """What a module calls or names, as far as it is written with dots."""
    names = (each for each in ast.walk(tree) if isinstance(each, ast.Call | ast.Attribute))
    return {ast.unparse(each.func if isinstance(each, ast.Call) else each) for each in names}


@pytest.mark.parametrize("path", sorted(CLI.rglob("*.py")), ids=lambda path: path.stem)
def test_the_command_line_has_one_way_out(path: Path):
    found = used(ast.parse(path.read_text(encoding="utf-8")))

    if path.name != "console.py":
        assert not found & (WAYS_OUT | {"sys.stdout.buffer", "sys.stderr.buffer"})
