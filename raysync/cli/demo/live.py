"""The live part of the demo: people write, edit and delete, and the copy follows."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from raysync.cli.output import words

if TYPE_CHECKING:
    from raysync.cli.demo.emulator_process import DemoEmulator
    from raysync.models.live import TailNote
    from raysync.settings import Settings
    from raysync.store.live.recent import RecentChange

LIVE_S: Final = 60.0
"""Length of the live part, in seconds; Ctrl-C ends it earlier."""
PACE_S: Final = (0.2, 1.2)
"""Shortest and longest time between two acts of the emulated people."""
LOOK_S: Final = 0.1
_TALK: Final = (
    "Good morning!", "Has anybody seen the new build?", "It works on my machine",
    "lunch?", "I will look at it after the meeting", "thanks, that was it", "wait, what",
    "see you tomorrow", "the server is down again", "it was DNS", "who broke the tests?",
    "not me", "fixed, please try again", "you are the best",
)  # fmt: skip
_SIGNS: Final = {"written": "+", "edited": "~", "deleted": "-"}
_MOST_SHOWN: Final = 60


@dataclass(slots=True)
class EmulatedPeople:
    """People who write, edit and delete in some channels."""

    emulator: DemoEmulator
    channels: list[int]
    dice: random.Random = field(default_factory=random.Random)
    written: list[tuple[int, int]] = field(default_factory=list)

    async def act_for_ever(self) -> None:
        """Do one thing after the other."""
        while True:
            await asyncio.to_thread(self._act)
            await asyncio.sleep(self.dice.uniform(*PACE_S))

    def _act(self) -> None:
        what = self.dice.random()
        if what < 0.65 or len(self.written) < 3:
            channel_id = self.dice.choice(self.channels)
            message_id = self.emulator.post_message(channel_id, self.dice.choice(_TALK))
            self.written.append((channel_id, message_id))
            return
        channel_id, message_id = self.dice.choice(self.written[-20:])
        if what < 0.85:
            text = f"{self.dice.choice(_TALK)} (edited)"
            self.emulator.edit_message(channel_id, message_id, text)
        else:
            self.written.remove((channel_id, message_id))
            self.emulator.delete_message(channel_id, message_id)


def show_live(
    settings: Settings, emulator: DemoEmulator, channels: list[int], show: Callable[[str], None]
) -> None:
    """Run a tail for a minute while people act, and *show* what the copy has of it."""
    asyncio.run(_show_live(settings, emulator, channels, show))


async def _show_live(
    settings: Settings, emulator: DemoEmulator, channels: list[int], show: Callable[[str], None]
) -> None:
    from raysync.run.tail import run_tail

    stop, listening = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)

    def tell(note: TailNote) -> None:
        if note.event == "listening":
            listening.set()
        elif note.event == "settled":
            show("  (settled: what happened before is stored, too)")

    tailing = asyncio.create_task(run_tail(["demo"], settings, tell, stop))
    try:
        await _either(listening.wait(), tailing)
        if tailing.done():
            await tailing
            return
        show("Listening. What people do now is in the copy at once:\n")
        people = EmulatedPeople(emulator, channels)
        async with _beside(people.act_for_ever()), _beside(_show_changes(settings, show)):
            with suppress(TimeoutError):
                async with asyncio.timeout(LIVE_S):
                    await _either(stop.wait(), tailing)
    finally:
        stop.set()
        await tailing
        loop.remove_signal_handler(signal.SIGINT)


async def _show_changes(settings: Settings, show: Callable[[str], None]) -> None:
    """Show each change once it is in the copy."""
    from raysync.database import open_store
    from raysync.store.live.recent import recent_changes, server_now

    async with open_store(settings) as engine:
        since = await server_now(engine)
        seen: set[tuple[int, datetime]] = set()
        while True:
            for change in await recent_changes(engine, since, _MOST_SHOWN):
                if (change.message_id, change.at) not in seen:
                    seen.add((change.message_id, change.at))
                    show(_line(change))
                    since = max(since, change.at)
            await asyncio.sleep(LOOK_S)


def _line(change: RecentChange) -> str:
    lag = "" if change.lag_s is None else f"   {round(change.lag_s * 1000)} ms after"
    text = words.printable(change.content)
    place = f"#{words.printable(change.channel)}"
    kept = {"edited": "   (the earlier version is kept)", "deleted": "   (kept, and marked)"}
    after = kept.get(change.kind, lag)
    return f"  {change.at:%H:%M:%S} {_SIGNS[change.kind]} {place:<22} {text}{after}"


async def _either(wait: Coroutine[Any, Any, object], other: asyncio.Task[None]) -> None:
    waiting = asyncio.create_task(wait)
    try:
        await asyncio.wait([waiting, other], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


@asynccontextmanager
async def _beside(call: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(call)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
