"""Random guilds and histories, runs in between: the archive holds what the rules promise.

After a run, of every channel that the bot can read: each message there as it is, none twice, and
each one that was stored and is there no more marked as deleted, as it last was. A channel that is
gone, or hidden, keeps what was stored of it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from raysync.emulator import (
    Action,
    FaultRule,
    GuildSpec,
    Limits,
    Quirks,
    World,
    generate_guild,
    serve,
)
from raysync.emulator.faults import FaultScript
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.store.connection.engine import open_engine
from tests.archive import Archive

T = TypeVar("T")

TOKEN = "a-token"
MESSAGES = "GET /channels/{channel_id}/messages"
READ_HISTORY = 1 << 16
DAY_MS = 86_400_000
LOOKBACK = SyncWindow(SyncType.INCREMENTAL, lookback_s=7 * 86_400.0)
FULL = SyncWindow(SyncType.FULL)
QUICK, SLOW = 40, 3_000
STEPS = 14

NOW_MS = int(time.time() * 1000)
PICK = st.integers(0, 1_000_000)

DATABASE = {"url": ""}


def chosen(these: Sequence[T], pick: int) -> T:
    """One of them: drawn by number, since what there is depends on all that was done before."""
    return these[pick % len(these)]


class Guild(RuleBasedStateMachine):
    """One guild, its archive, and what the archive must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.expected: dict[tuple[int, int], tuple[str, bool]] = {}
        self.gone: set[int] = set()
        self.versions = 0
        self.is_fresh = False
        self.number = 0

    def do(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    @initialize(
        seed=st.integers(1, 1_000_000),
        messages=st.integers(0, 60),
        page_size=st.sampled_from([5, 10, 100]),
        ties=st.booleans(),
        cut=st.sampled_from([0, 0, 2]),
    )
    def begin(self, seed: int, messages: int, page_size: int, ties: bool, cut: int) -> None:
        spec = GuildSpec(
            text_channels=2, text_messages=messages, announcement_channels=1,
            announcement_messages=messages // 4, forum_channels=1, posts=1, threads=1,
            messages_per_thread=4, archived=0.5, tie_rate=0.3 if ties else 0.0, users=5,
            end_ms=NOW_MS - 3_600_000, span_days=3.0,
        )  # fmt: skip
        self.world = World(generate_guild(spec, seed=seed))
        self.world.add_bot(TOKEN)
        (self.guild_id,) = self.world.guilds
        quirks = Quirks(scramble_ties=ties, null_for_empty=ties, cut_pages=cut)
        self.do(self.open(quirks, page_size))

    async def open(self, quirks: Quirks, page_size: int) -> None:
        served = serve(self.world, limits=Limits.off(), quirks=quirks)
        self.emulator = await self.stack.enter_async_context(served)
        engine = open_engine(DATABASE["url"], pool_size=6, application_name="property")
        self.stack.push_async_callback(engine.dispose)
        self.archive = Archive(engine, self.emulator.url, TOKEN, page_size)
        await self.archive.add(self.guild_id)
        self.stack.push_async_callback(self.archive.remove)

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.loop.close()

    # -- what people do

    def places(self) -> list[int]:
        every = self.world.guilds[self.guild_id].every_channel()
        return [each.id for each in every if each.type in (0, 5, 10, 11)]

    def written(self) -> list[tuple[int, int]]:
        return [
            (place, message_id)
            for place in self.places()
            for message_id in self.world.channels[place].log.ids
        ]

    @rule(pick=PICK, ago_minutes=st.integers(10, 4_000), count=st.integers(1, 12))
    def post(self, pick: int, ago_minutes: int, count: int) -> None:
        """Some of it shows up late, under later ones."""
        if not self.places():
            return
        place = chosen(self.places(), pick)
        at_ms = NOW_MS - ago_minutes * 60_000
        for _ in range(count):
            self.number += 1
            text = f"message {self.number}"
            self.emulator.edits.post_message(place, text, at_ms=at_ms + self.number % 3)
        self.is_fresh = False

    @rule(pick=PICK)
    def edit(self, pick: int) -> None:
        if self.written():
            place, message_id = chosen(self.written(), pick)
            self.number += 1
            self.emulator.edits.edit_message(place, message_id, f"edited {self.number}")
            self.is_fresh = False

    @rule(pick=PICK, share=st.sampled_from([0.1, 0.5, 1.0]))
    def delete(self, pick: int, share: float) -> None:
        """Some messages of a channel, or all of them; often the newest."""
        places = [each for each in self.places() if self.world.channels[each].log.ids]
        if places:
            place = chosen(places, pick)
            ids = list(self.world.channels[place].log.ids)
            for message_id in ids[-max(int(len(ids) * share), 1) :]:
                self.emulator.edits.delete_message(place, message_id)
            self.is_fresh = False

    @rule(pick=PICK, emoji=st.sampled_from(["👍", "🎉"]))
    def react(self, pick: int, emoji: str) -> None:
        if self.written():
            place, message_id = chosen(self.written(), pick)
            owner = self.world.guilds[self.guild_id].owner_id
            added = self.emulator.edits.add_reaction(place, message_id, emoji, owner)
            if not added:
                self.emulator.edits.remove_reaction(place, message_id, emoji, owner)
            self.is_fresh = False

    @rule(pick=PICK)
    def open_thread(self, pick: int) -> None:
        text = [each for each in self.places() if self.world.channels[each].type == 0]
        if text:
            parent = chosen(text, pick)
            thread = self.emulator.edits.create_thread(parent, f"thread {self.number}")
            self.emulator.edits.post_message(thread, "in it", at_ms=NOW_MS - 600_000)
            self.is_fresh = False

    @rule(pick=PICK)
    def move_thread(self, pick: int) -> None:
        threads = list(self.world.guilds[self.guild_id].threads.values())
        if threads:
            thread = chosen(threads, pick)
            edits = self.emulator.edits
            move = edits.unarchive_thread if thread.archived else edits.archive_thread
            move(thread.id)

    @rule(pick=PICK)
    def hide_or_show(self, pick: int) -> None:
        channels = list(self.world.guilds[self.guild_id].channels.values())
        if channels:
            channel = chosen(channels, pick)
            if self.guild_id in channel.overwrites:
                self.emulator.edits.remove_overwrite(channel.id, self.guild_id)
                self.emulator.edits.remove_overwrite(channel.id, self.bot_role())
            else:
                deny = READ_HISTORY
                self.emulator.edits.set_overwrite(channel.id, self.guild_id, deny=deny)
                self.emulator.edits.set_overwrite(channel.id, self.bot_role(), deny=deny)
            self.is_fresh = False

    def bot_role(self) -> int:
        roles = self.world.guilds[self.guild_id].roles.values()
        bot_id = self.world.bots[TOKEN].user.id
        return next(each.id for each in roles if each.bot_id == bot_id)

    @precondition(lambda self: len(self.world.guilds[self.guild_id].channels) > 2)
    @rule(pick=PICK)
    def delete_channel(self, pick: int) -> None:
        channels = list(self.world.guilds[self.guild_id].channels.values())
        channel = chosen(channels, pick)
        self.emulator.edits.delete_channel(channel.id)
        self.is_fresh = False

    # -- runs

    @rule(full=st.booleans())
    def run(self, full: bool) -> None:
        """A run that nothing disturbs holds its promise at its end."""
        end = self.do(self.archive.run(FULL if full else LOOKBACK))

        failures = [each.failure for each in end.outcomes if each.failure is not None]
        assert end.status is JobStatus.COMPLETED, (end.troubles, failures)
        self.promise()
        self.is_fresh = True

    @rule(
        action=st.sampled_from([Action.EMPTY, Action.RESET, Action.TRUNCATE, Action.NULL]),
        every=st.integers(2, 5),
    )
    def disturbed_run(self, action: Action, every: int) -> None:
        """Whatever goes wrong in a run, the one after it makes good; nothing is lost by it."""
        self.emulator.faults = FaultScript(FaultRule(action, route=MESSAGES, every=every))
        self.do(self.archive.run(LOOKBACK))
        self.emulator.faults = FaultScript()
        self.run(full=False)

    def promise(self) -> None:
        readable = self.world.readable_channels(TOKEN, self.guild_id)
        readable_ids = {each.id for each in readable}
        for key, (content, _) in list(self.expected.items()):
            if key[0] in readable_ids:
                self.expected[key] = (content, False)
        for channel in readable:
            if channel.type in (0, 5, 10, 11):
                for message_id in channel.log.ids:
                    content = str(channel.log.payload(message_id)["content"])
                    self.expected[channel.id, message_id] = (content, True)

    @invariant()
    def archive_is_as_promised(self) -> None:
        if not self.is_fresh:
            return
        rows = self.do(self.archive.rows())
        assert rows == self.expected
        gone = self.do(self.archive.gone_channels())
        existing = set(self.world.channels)
        assert not gone & existing, "a channel that exists is marked as gone"
        assert {c for c, _ in self.expected} - existing <= gone, "a channel is gone unmarked"
        assert self.do(self.archive.reactions()) == self.reactions()

    def reactions(self) -> dict[tuple[int, int, str], int]:
        return {
            (channel.id, message_id, each["emoji"]["name"]): each["count"]
            for channel in self.world.readable_channels(TOKEN, self.guild_id)
            for message_id in channel.log.ids
            for each in channel.log.payload(message_id).get("reactions", [])
        } | self.kept_reactions()

    def kept_reactions(self) -> dict[tuple[int, int, str], int]:
        """Of channels that cannot be read now: as they were stored."""
        readable = {each.id for each in self.world.readable_channels(TOKEN, self.guild_id)}
        return {
            key: count
            for key, count in self.do(self.archive.reactions()).items()
            if key[0] not in readable
        }


@pytest.fixture
def database(database_url: str) -> Iterator[None]:
    DATABASE["url"] = database_url
    yield
    DATABASE["url"] = ""


def examples(count: int, *, same_each_time: bool) -> settings:
    return settings(
        derandomize=same_each_time,
        max_examples=int(os.environ.get("RAYSYNC_EXAMPLES", count)),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.usefixtures("database")
@pytest.mark.timeout(600)
def test_the_archive_follows_any_history() -> None:
    run_state_machine_as_test(Guild, settings=examples(QUICK, same_each_time=True))


@pytest.mark.slow
@pytest.mark.usefixtures("database")
@pytest.mark.timeout(7_200)
def test_the_archive_follows_thousands_of_histories() -> None:
    run_state_machine_as_test(Guild, settings=examples(SLOW, same_each_time=False))
