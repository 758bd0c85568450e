"""No statement is put together from what came in: identifiers are quoted, values are parameters."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SQL = re.compile(
    r"\b(WITH|SELECT|INSERT INTO|UPDATE|DELETE FROM|GRANT|REVOKE|ALTER|CREATE|DROP|LISTEN|COPY)\s",
    re.ASCII,
)
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*(\.[a-z_]+)?")  # itself, or a property of its value


def test_the_lint_rule_against_built_statements_is_on() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    excused = [name for name, rules in lint["per-file-ignores"].items() if {"S", "S608"} & {*rules}]

    assert "S" in lint["select"]
    assert not {"S", "S608"} & {*lint["ignore"]}
    assert not any(name.startswith(("raysync", "migrations")) for name in excused)


def test_what_is_put_into_a_statement_is_a_constant_of_its_module() -> None:
    modules = sorted((ROOT / "raysync" / "store").rglob("*.py"))
    built = [
        f"{path.name}:{line}: {{{inserted}}}"
        for path in modules
        for line, inserted in inserted_into_sql(ast.parse(path.read_text()))
        if not _CONSTANT.fullmatch(inserted)
    ]

    assert len(modules) > 50, "the rooms of the store are looked into"
    assert built == []


def inserted_into_sql(module: ast.Module) -> Iterator[tuple[int, str]]:
    """The expressions in each f-string that begins like a statement, by line."""
    for node in ast.walk(module):
        if not isinstance(node, ast.JoinedStr):
            continue
        texts = [each.value for each in node.values if isinstance(each, ast.Constant)]
        if _SQL.match("".join(map(str, texts)).lstrip()):
            for each in node.values:
                if isinstance(each, ast.FormattedValue):
                    yield node.lineno, ast.unparse(each.value)
