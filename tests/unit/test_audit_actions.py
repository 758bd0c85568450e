"""The actions of the audit log: one list, and no string beside it."""

from __future__ import annotations

import ast
from pathlib import Path

from raysync.models.audit import AuditAction

ROOT = Path(__file__).parents[2]


def test_every_action_is_recorded_somewhere() -> None:
    used = {
        node.attr
        for path in (ROOT / "raysync").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == AuditAction.__name__
    }

    assert used == {action.name for action in AuditAction}
