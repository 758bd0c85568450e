"""`raysync audit`."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("with_database")


def test_what_was_done_to_a_tenant_is_told_also_after_it_is_gone(run, monkeypatch):
    monkeypatch.setenv("A_TOKEN", "a-token")
    run("tenant", "add", "takaro", "--guild", "5", "--token-env", "A_TOKEN")
    run("tenant", "add", "other", "--guild", "6", "--token-env", "A_TOKEN")
    run("reset", "--tenant", "takaro", "--yes")
    run("tenant", "remove", "takaro", "--yes")

    result = run("audit", "--tenant", "takaro", "--json")

    entries = json.loads(result.stdout)["entries"]
    assert {each["tenant"] for each in entries} == {"takaro"}
    assert len(entries) == 3, "the latest first"
    assert "remove" in entries[0]["action"]
    assert entries[1]["action"] == "reset"
    assert all(each["actor"] for each in entries)
    assert "takaro" in run("audit", "--limit", "1").stdout


def test_an_empty_log_says_so(run):
    result = run("audit")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "The audit log has no entries" in result.stderr
