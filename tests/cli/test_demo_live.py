"""The live part of the demo, with an emulator in a process of its own."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from datetime import UTC, datetime

import pytest

from raysync.cli.demo import live
from raysync.cli.demo.command import _renew_tenant, _settings
from raysync.cli.demo.emulator_process import DemoEmulator, start_emulator
from raysync.store.live.recent import RecentChange
from raysync.store.server.embedded import stop_embedded

pytestmark = pytest.mark.cli

AT = datetime(2026, 12, 1, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "lag_s", "line"),
    [
        ("written", 0.0042, "  12:30:15 + #general               hi   4 ms after"),
        ("edited", 0.1, "  12:30:15 ~ #general               hi   (the earlier version is kept)"),
        ("deleted", None, "  12:30:15 - #general               hi   (kept, and marked)"),
    ],
)
def test_a_line_says_what_the_copy_has(kind, lag_s, line) -> None:
    assert live._line(RecentChange(1, "general", "hi", AT, kind, lag_s)) == line


def test_what_strangers_write_does_not_control_the_terminal() -> None:
    line = live._line(RecentChange(1, "a\x1b[2J", "b\x1b]0;x\x07", AT, "written", 0.0))

    assert "\x1b" not in line


def text_channels(emulator: DemoEmulator) -> list[int]:
    request = urllib.request.Request(
        f"{emulator.url}/guilds/{emulator.guild_id}/channels",
        headers={"Authorization": f"Bot {emulator.token}"},
    )
    with urllib.request.urlopen(request) as answer:
        listed = json.load(answer)
    hidden = {one["id"] for one in listed if one["permission_overwrites"]}
    return [int(one["id"]) for one in listed if one["type"] == 0 and one["id"] not in hidden][:5]


@pytest.mark.timeout(180)
async def test_the_copy_follows_people_who_write_edit_and_delete(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RAYSYNC_HOME", str(tmp_path))
    monkeypatch.setattr(live, "PACE_S", (0.01, 0.05))
    monkeypatch.setattr(live, "LIVE_S", 5.0)
    home = tmp_path / "demo"
    home.mkdir()
    emulator = start_emulator(home, limited=False, exits_with_parent=True, messages=1_000)
    settings = _settings(home, emulator, fast=True)
    shown: list[str] = []
    try:
        await _renew_tenant(settings, emulator)
        channels = await asyncio.to_thread(text_channels, emulator)
        await live._show_live(settings, emulator, channels, shown.append)
    finally:
        emulator.stop()
        stop_embedded(home)

    signs = {found[1] for line in shown if (found := re.match(r"  \d\d:\d\d:\d\d (.) #", line))}
    assert signs == {"+", "~", "-"}
    assert any("settled" in line for line in shown)
