"""Who reacted, and attachments' bytes: against the emulator's truth, whatever the CDN does."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from raysync.discord_api.people.pseudonyms import Pseudonymizer
from raysync.emulator import (
    Action,
    Emulator,
    FaultRule,
    GuildSpec,
    Limits,
    World,
    generate_guild,
    serve,
)
from raysync.emulator.faults import FaultScript
from raysync.emulator.generator.spec import Rates
from raysync.emulator.serving.request_log import CDN_ROUTE
from raysync.emulator.world.cdn import attachment_bytes
from raysync.emulator.world.reactions import emoji_key, reactor_ids
from raysync.models.extras import Extras, ExtraTally, FileRules
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.sync.channels.files import FAILURES_IN_A_ROW
from raysync.sync.channels.reactors import LISTS_AT_ONCE
from tests.archive import KEY, Archive

TOKEN = "a-token"
REACTIONS = "GET /channels/{channel_id}/messages/{message_id}/reactions/{emoji}"
REFRESH = "POST /attachments/refresh-urls"
PLAIN = SyncWindow(SyncType.INCREMENTAL, lookback_s=30 * 86_400.0)
REACTORS = replace(PLAIN, extras=Extras(reactors=True))


def lively_world(**rates: float) -> World:
    spec = GuildSpec(
        text_channels=3,
        text_messages=240,
        users=150,
        rates=Rates(**{"reactions": 0.3, "attachments": 0.3, **rates}),
        custom_emojis=3,
        end_ms=int(time.time() * 1000) - 3_600_000,
        span_days=10.0,
    )
    world = World(generate_guild(spec, seed=7))
    world.add_bot(TOKEN)
    return world


@asynccontextmanager
async def setting(engine, world: World, *faults: FaultRule) -> AsyncIterator[tuple]:
    (guild_id,) = world.guilds
    async with serve(world, limits=Limits.off(), faults=faults) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        await archive.add(guild_id)
        yield archive, emulator


def messages(world: World):
    """Every message with its channel."""
    (guild,) = world.guilds.values()
    for channel in guild.every_channel():
        for message_id in channel.log.ids:
            yield guild, channel, channel.log.payload(message_id)


def true_reactors(world: World) -> dict[tuple[int, str, str], tuple[int, int]]:
    """From message, emoji and pseudonym to how often, and how often as a burst."""
    people, found = Pseudonymizer(KEY), {}
    for guild, channel, message in messages(world):
        for each in message.get("reactions", ()):
            emoji = emoji_key(each["emoji"])
            for burst in (False, True):
                ids = reactor_ids(guild, channel.log, int(message["id"]), (emoji, burst))
                for user_id in ids:
                    key = (int(message["id"]), emoji, people.author_ref(str(user_id)))
                    count, bursts = found.get(key, (0, 0))
                    found[key] = (count + 1, bursts + burst)
    return found


async def kept_reactors(archive: Archive) -> dict[tuple[int, str, str], tuple[int, int]]:
    return {
        (row.message, row.emoji, row.ref): (row.total, row.bursts)
        for row in await archive.query(
            "SELECT platform_message_id AS message, emoji, anonymized_user_id AS ref,"
            " r.count AS total, burst_count AS bursts FROM message_emoji_reactions r"
            " JOIN channels c ON c.id = r.channel_id"
            " WHERE c.tenant_id = :tenant AND anonymized_user_id <> ''"
        )
    }


def asked(emulator: Emulator, route: str) -> int:
    """Count the answers; a busy machine may repeat a request that got none."""
    return sum(each.route == route and each.status not in (0, 429) for each in emulator.log.entries)


async def test_all_who_reacted_are_kept_and_follow_what_people_take_back(engine) -> None:
    world = lively_world()
    async with setting(engine, world) as (archive, emulator):
        end = await archive.run(PLAIN)
        assert end.status is JobStatus.COMPLETED
        assert await kept_reactors(archive) == {}, "nobody asked for them"

        end = await archive.run(REACTORS)

        truth = true_reactors(world)
        assert end.status is JobStatus.COMPLETED
        assert len(truth) > 100
        assert await kept_reactors(archive) == truth
        assert sum(each.tally.extras.reactors for each in end.outcomes) == len(truth)
        counted = sum((each.tally.extras for each in end.outcomes), ExtraTally())
        assert counted.extras_counted == len(end.outcomes)
        assert counted.extras_due == counted.extras_done == asked(emulator, REACTIONS), (
            "the estimate of what is left knows each request"
        )

        emulator.log.reset()
        await archive.run(REACTORS)
        assert asked(emulator, REACTIONS) == 0, "no count has changed"

        *_, (guild, channel, message) = (
            each for each in messages(world) if len(each[2].get("reactions", ())) > 1
        )
        channel_id, message_id = channel.id, int(message["id"])
        first, second = (emoji_key(each["emoji"]) for each in message["reactions"][:2])
        (gone, *_) = reactor_ids(guild, channel.log, message_id, (first, False))
        emulator.edits.remove_reaction(channel_id, message_id, first, gone)
        for burst in (False, True):
            for user_id in list(reactor_ids(guild, channel.log, message_id, (second, burst))):
                emulator.edits.remove_reaction(channel_id, message_id, second, user_id, burst=burst)
        stranger = guild.user_ids[-1]
        emulator.edits.add_reaction(channel_id, message_id, "🐢", stranger, burst=True)

        await archive.run(REACTORS)
        assert await kept_reactors(archive) == true_reactors(world)
        assert asked(emulator, REACTIONS) <= 4, "only what changed"


async def test_more_reactors_than_a_page_are_all_read(engine) -> None:
    world = lively_world(reactions=0.0)
    async with setting(engine, world) as (archive, emulator):
        guild, channel, message = next(messages(world))
        for user_id in guild.user_ids[:137]:
            emulator.edits.add_reaction(channel.id, int(message["id"]), "👍", user_id)

        await archive.run(REACTORS)

        assert len(await kept_reactors(archive)) == 137
        assert asked(emulator, REACTIONS) == 2


async def test_an_emoji_that_is_gone_is_asked_for_once_and_takes_nobody_away(engine) -> None:
    world = lively_world()
    async with setting(engine, world) as (archive, emulator):
        await archive.run(REACTORS)
        before = await kept_reactors(archive)
        guild, channel, message, emoji = next(
            (guild, channel, message, emoji_key(each["emoji"]))
            for guild, channel, message in messages(world)
            for each in message.get("reactions", ())
            if each["emoji"]["id"]
        )
        reacted = reactor_ids(guild, channel.log, int(message["id"]), (emoji, False))
        another = next(each for each in guild.user_ids if each not in reacted)
        emulator.edits.add_reaction(channel.id, int(message["id"]), emoji, another)
        guild.removed_emoji_ids.add(int(emoji.rpartition(":")[2]))
        emulator.log.reset()

        for _ in range(2):
            end = await archive.run(REACTORS)
            assert end.status is JobStatus.COMPLETED

        assert asked(emulator, REACTIONS) == 1
        assert await kept_reactors(archive) == before


async def test_a_channel_that_fails_in_the_middle_goes_on_where_it_was(engine) -> None:
    world = lively_world()
    broken = FaultRule(route=REACTIONS, action=Action.ANSWER, status=403, nth=(20,))
    async with setting(engine, world, broken) as (archive, emulator):
        end = await archive.run(REACTORS)
        assert end.status is JobStatus.PARTIAL
        assert len(await archive.rows()) == sum(1 for _ in messages(world)), "messages go first"
        first = asked(emulator, REACTIONS)

        end = await archive.run(REACTORS)

        assert end.status is JobStatus.COMPLETED
        assert await kept_reactors(archive) == true_reactors(world)
        pages = sum(
            count // 100 + 1
            for _, _, message in messages(world)
            for each in message.get("reactions", ())
            for count in each["count_details"].values()
            if count
        )
        assert first < asked(emulator, REACTIONS) <= pages + 2 * LISTS_AT_ONCE


def keeping(folder: Path, **rules) -> SyncWindow:
    return replace(PLAIN, extras=Extras(files=FileRules(str(folder), **rules)))


def attachments(world: World):
    for _, _, message in messages(world):
        yield from message["attachments"]


def digest(attachment) -> str:
    content = attachment_bytes(int(attachment["id"]), attachment["size"])
    return hashlib.sha256(content).hexdigest()


async def stored_files(archive: Archive) -> dict[int, tuple[str, str]]:
    return {
        row.id: (row.sha256.hex(), row.blob_key)
        for row in await archive.query(
            "SELECT platform_attachment_id AS id, sha256, blob_key FROM message_attachments a"
            " JOIN channels c ON c.id = a.channel_id"
            " WHERE c.tenant_id = :tenant AND blob_key IS NOT NULL"
        )
    }


def assert_true(folder: Path, world: World, stored: dict[int, tuple[str, str]]) -> None:
    """Nothing wrong in the folder: every file is some attachment's, whole, under its own name."""
    truth = {int(each["id"]): digest(each) for each in attachments(world)}
    assert {key: sha for key, (sha, _) in stored.items()} == {key: truth[key] for key in stored}
    files = {each for each in folder.rglob("*") if each.is_file()}
    assert files == {folder / key for _, key in stored.values()}
    for each in files:
        assert hashlib.sha256(each.read_bytes()).hexdigest() == each.name


async def test_every_attachment_is_stored_whole_and_once(engine, tmp_path) -> None:
    world = lively_world()
    async with setting(engine, world) as (archive, emulator):
        end = await archive.run(keeping(tmp_path))

        stored = await stored_files(archive)
        assert end.status is JobStatus.COMPLETED
        assert len(stored) == sum(1 for _ in attachments(world)) > 30
        assert_true(tmp_path, world, stored)
        assert sum(each.tally.extras.files for each in end.outcomes) == len(stored)
        by_channel = Counter(
            channel.id for _, channel, m in messages(world) for _ in m["attachments"]
        )
        batches = sum(-(-each // 50) for each in by_channel.values())
        assert asked(emulator, REFRESH) == batches, "addresses are signed anew by the batch"
        assert all(each.bot is None for each in emulator.log.entries if each.route == CDN_ROUTE)

        emulator.log.reset()
        await archive.run(keeping(tmp_path))
        assert asked(emulator, CDN_ROUTE) == asked(emulator, REFRESH) == 0


SPOILED = [
    pytest.param(FaultRule(cdn=True, action=Action.ANSWER, status=500, every=2), id="500"),
    pytest.param(FaultRule(cdn=True, action=Action.HTML, status=200, every=2), id="200-html"),
    pytest.param(FaultRule(cdn=True, action=Action.TRUNCATE, keep_bytes=900, every=2), id="cut"),
    pytest.param(FaultRule(cdn=True, action=Action.MALFORMED, keep_bytes=900, every=2), id="short"),
    pytest.param(FaultRule(cdn=True, action=Action.RESET, every=2), id="reset"),
    pytest.param(FaultRule(cdn=True, action=Action.EMPTY, every=3), id="empty"),
    pytest.param(FaultRule(cdn=True, action=Action.ANSWER, status=404, every=2), id="404"),
    pytest.param(FaultRule(cdn=True, action=Action.ANSWER, status=429, every=2, body={}), id="429"),
]


@pytest.mark.parametrize("fault", SPOILED)
async def test_whatever_the_cdn_answers_in_between_only_whole_files_are_stored(
    engine, tmp_path, fault
) -> None:
    world = lively_world()
    async with setting(engine, world, fault) as (archive, emulator):
        end = await archive.run(keeping(tmp_path))

        stored = await stored_files(archive)
        assert emulator.faults.taken[0] > 10
        assert end.status is JobStatus.COMPLETED
        assert_true(tmp_path, world, stored)
        missed = sum(each.tally.extras.files_failed for each in end.outcomes)
        total = sum(1 for _ in attachments(world))
        assert len(stored) + missed == total
        assert len(stored) > total / 2

        emulator.faults = FaultScript()
        await archive.execute("UPDATE message_attachments SET blob_retry_at = now()")
        await archive.run(keeping(tmp_path))
        assert_true(tmp_path, world, await stored_files(archive))
        assert len(await stored_files(archive)) == total


async def test_a_download_that_is_cut_goes_on_where_it_was(engine, tmp_path) -> None:
    world = lively_world(attachments=0.02)
    cut = FaultRule(cdn=True, action=Action.TRUNCATE, keep_bytes=1000, every=2)
    async with setting(engine, world, cut) as (archive, emulator):
        await archive.run(keeping(tmp_path))

        sizes = sum(each["size"] for each in attachments(world))
        assert any(each.status == 206 for each in emulator.log.entries if each.route == CDN_ROUTE)
        whole = [e for e in emulator.log.entries if e.route == CDN_ROUTE and e.fault is None]
        assert sum(each.sent_bytes for each in whole) < sizes


async def test_what_is_gone_from_the_cdn_is_noted_and_asked_for_again_later(
    engine, tmp_path
) -> None:
    world = lively_world()
    gone, *_ = attachments(world)
    rule = FaultRule(cdn=True, path=f"/{gone['id']}/", action=Action.ANSWER, status=404)
    async with setting(engine, world, rule) as (archive, emulator):
        end = await archive.run(keeping(tmp_path))

        assert end.status is JobStatus.COMPLETED, "a file that is gone is no failure of the sync"
        assert sum(each.tally.extras.files_failed for each in end.outcomes) == 1
        (missed,) = await archive.query(
            "SELECT platform_attachment_id AS id, blob_error FROM message_attachments"
            " WHERE blob_error IS NOT NULL"
        )
        assert (missed.id, "404" in missed.blob_error) == (int(gone["id"]), True)

        emulator.log.reset()
        await archive.run(keeping(tmp_path))
        assert asked(emulator, CDN_ROUTE) == 0, "not at once"

        emulator.faults = FaultScript()
        await archive.execute("UPDATE message_attachments SET blob_retry_at = now()")
        await archive.run(keeping(tmp_path))
        assert_true(tmp_path, world, await stored_files(archive))
        assert len(await stored_files(archive)) == sum(1 for _ in attachments(world))


async def test_addresses_that_expire_meanwhile_are_signed_anew(engine, tmp_path) -> None:
    world = lively_world()
    expired = FaultRule(
        cdn=True, action=Action.ANSWER, status=404, body="This content is no longer available.",
        nth=tuple(range(1, 30)),
    )  # fmt: skip
    async with setting(engine, world, expired) as (archive, emulator):
        await archive.run(keeping(tmp_path))

        stored = await stored_files(archive)
        assert_true(tmp_path, world, stored)
        assert len(stored) > sum(1 for _ in attachments(world)) / 2
        assert asked(emulator, "GET /channels/{channel_id}/messages/{message_id}") > 5


async def test_without_the_undocumented_route_messages_tell_the_addresses(engine, tmp_path) -> None:
    world = lively_world()
    no_route = FaultRule(route=REFRESH, action=Action.ANSWER, status=404)
    async with setting(engine, world, no_route) as (archive, _):
        await archive.run(keeping(tmp_path))

        stored = await stored_files(archive)
        assert_true(tmp_path, world, stored)
        assert len(stored) == sum(1 for _ in attachments(world))


async def test_a_file_whose_name_holds_a_users_id_is_found_by_its_message(engine, tmp_path) -> None:
    """The stored name has a pseudonym in the id's place, which the CDN does not know."""
    world = lively_world()
    _, channel, message = next(each for each in messages(world) if each[2]["attachments"])
    file = message["attachments"][0]
    async with setting(engine, world) as (archive, emulator):
        author = message["author"]["id"]
        named = {"filename": f"transcript-{author}.html"}
        for key in ("url", "proxy_url"):
            named[key] = file[key].replace(file["filename"].replace(" ", "_"), named["filename"])
        changed = [file | named, *message["attachments"][1:]]
        emulator.edits.change(channel.id, int(message["id"]), {"attachments": changed})

        await archive.run(keeping(tmp_path))

        stored = await stored_files(archive)
        assert int(file["id"]) in stored
        assert_true(tmp_path, world, stored)
        (row,) = await archive.query(
            f"SELECT filename, url FROM message_attachments"
            f" WHERE platform_attachment_id = {file['id']}"
        )
        assert author not in row.filename + row.url


async def test_an_emoji_that_discord_refuses_keeps_nothing_back(engine) -> None:
    world = lively_world()
    refused = FaultRule(
        route=REACTIONS, action=Action.ANSWER, status=400, nth=(3,),
        body={"message": "Unknown Emoji", "code": 10014},
    )  # fmt: skip
    async with setting(engine, world, refused) as (archive, _):
        end = await archive.run(REACTORS)

        assert end.status is JobStatus.COMPLETED
        assert len(await kept_reactors(archive)) > 100


async def test_odd_reactors_take_nobody_away_and_keep_nothing_back(engine) -> None:
    world = lively_world()
    async with setting(engine, world) as (archive, emulator):
        await archive.run(REACTORS)
        truth = await kept_reactors(archive)
        stranger = "123456789012345678"
        body = [None, 7, {"id": None}, {"id": "x"}, {"username": "y"}, {"id": stranger}]
        emulator.faults = FaultScript(
            FaultRule(
                route=REACTIONS, action=Action.ANSWER, status=200, body=body,
                content_type="application/json", nth=(1, 2),
            ),
            FaultRule(
                route=REACTIONS, action=Action.ANSWER, status=200, body={"id": 1},
                content_type="application/json", nth=(1,),
            ),
        )  # fmt: skip
        await archive.execute(
            "UPDATE message_emoji_reactions SET read_count = NULL WHERE anonymized_user_id = ''"
        )
        end = await archive.run(REACTORS)

        assert end.status is JobStatus.COMPLETED
        kept = await kept_reactors(archive)
        assert kept.keys() >= truth.keys()
        added = {each[2] for each in kept.keys() - truth.keys()}
        assert added == {Pseudonymizer(KEY).author_ref(stranger)}


async def test_files_with_odd_fields_keep_no_other_back(engine, tmp_path) -> None:
    world = lively_world(attachments=1.0)
    async with setting(engine, world) as (archive, emulator):
        every = [each for each in messages(world) if each[2]["attachments"]]
        told = {"id": every[0][2]["attachments"][0]["id"]}
        for number, odd in enumerate([told, told | {"url": "http://["}, None, [told, told]]):
            _, channel, message = every[number]
            listed = odd if isinstance(odd, list) else [odd]
            emulator.edits.damage_message(channel.id, int(message["id"]), {"attachments": listed})
        emulator.faults = FaultScript(
            FaultRule(
                route=REFRESH, action=Action.ANSWER, status=200,
                body={"refreshed_urls": [None, {"original": 5}, {"refreshed": ""}]},
                content_type="application/json", nth=(1,),
            )
        )  # fmt: skip
        end = await archive.run(replace(PLAIN, extras=Extras(files=FileRules(str(tmp_path)))))

        assert end.status is JobStatus.COMPLETED
        rows = await archive.query(
            "SELECT count(*) FILTER (WHERE blob_key IS NOT NULL) AS kept, count(*) AS every"
            " FROM message_attachments a JOIN messages m USING (channel_id, platform_message_id)"
            " WHERE m.tenant_id = :tenant AND a.file_size > 0"
        )
        assert rows[0].kept >= rows[0].every - 50, "those of the odd answer are tried again"
        assert rows[0].kept > 50


async def test_while_the_cdn_is_away_little_is_noted_against_files(engine, tmp_path) -> None:
    world = lively_world()
    away = FaultRule(cdn=True, action=Action.ANSWER, status=503)
    async with setting(engine, world, away) as (archive, emulator):
        end = await archive.run(keeping(tmp_path))

        assert end.status is JobStatus.PARTIAL
        assert len(await archive.rows()) == sum(1 for _ in messages(world))
        (noted,) = await archive.query(
            "SELECT count(*) AS files FROM message_attachments WHERE blob_error IS NOT NULL"
        )
        assert noted.files < FAILURES_IN_A_ROW, "in all channels of a worker together"
        emulator.faults = FaultScript()
        await archive.execute("UPDATE message_attachments SET blob_retry_at = NULL")
        await archive.run(keeping(tmp_path))
        assert len(await stored_files(archive)) == sum(1 for _ in attachments(world))


async def test_only_files_within_the_rules_are_asked_for(engine, tmp_path) -> None:
    world = lively_world()
    async with setting(engine, world) as (archive, emulator):
        limit = sorted(each["size"] for each in attachments(world))[-20]
        await archive.run(keeping(tmp_path, max_bytes=limit, types=("image/*", "text/plain")))

        stored = await stored_files(archive)
        wanted = {
            int(each["id"])
            for each in attachments(world)
            if each["size"] <= limit
            and (each.get("content_type") or "").startswith(("image/", "text/plain"))
        }
        assert set(stored) == wanted
        assert 0 < len(wanted) < sum(1 for _ in attachments(world))
        assert asked(emulator, CDN_ROUTE) == len(wanted)


async def test_a_full_disk_fails_the_files_and_not_the_messages(engine, tmp_path) -> None:
    world = lively_world()
    (tmp_path / str(next(iter(world.guilds)))).write_text("a file where a folder is to be")
    async with setting(engine, world) as (archive, _):
        end = await archive.run(keeping(tmp_path))

        assert end.status is JobStatus.PARTIAL
        assert len(await archive.rows()) == sum(1 for _ in messages(world))
        (failure, *_) = [each.failure for each in end.outcomes if each.failure]
        assert failure.message.startswith("Cannot write attachments to ")


async def test_two_guilds_share_no_file(engine, tmp_path) -> None:
    """The same bytes: neither tenant can tell that the other has them."""
    one = lively_world()
    async with setting(engine, one) as (archive, _):
        await archive.run(keeping(tmp_path))
        keys = {key for _, key in (await stored_files(archive)).values()}
        (guild_id,) = one.guilds
        assert all(each.startswith(f"{guild_id}/") for each in keys)


async def test_files_that_gave_way_to_messages_come_later_and_are_not_forgotten(
    engine, tmp_path
) -> None:
    """A visit that is over in the middle of a batch leaves the rest to the next."""
    world = lively_world()
    slow = FaultRule(cdn=True, action=Action.PASS, delay_s=1.2)
    async with setting(engine, world, slow) as (archive, _):
        archive.comes_back = False
        end = await archive.run(keeping(tmp_path))

        assert all(each.parked for each in end.outcomes), "each gave its slot away"
        early = await stored_files(archive)
        assert 0 < len(early) < sum(1 for _ in attachments(world))
        assert_true(tmp_path, world, early)
