"""Archives that were kept under earlier rules: people's ids as they were typed, anywhere."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.credentials import tenant_key
from raysync.discord_api.people.pseudonyms import Pseudonymizer
from raysync.models.entities import Attachment, Reaction, Tenant
from raysync.models.privacy import SCRUBBING_RULES, ErasureCounts, RescrubCounts
from raysync.privacy import TenantPrivacy
from raysync.settings import Settings
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.pages import PostgresPages
from tests.dump import tables_with
from tests.store.rows import FIRST, add_tenant, channel, message, page, task

BOB_ID, BOB = "903025117553754133", "u_" + "b" * 26
LONGER = f"1{BOB_ID}2"
"""Another number, which holds it."""
EMOJI = f"bob_{BOB_ID}:1203025117553754222"
AVATAR = f"https://cdn.discordapp.com/guilds/1/users/{BOB_ID}/avatars/feedface.png"


def said(number: int, content: str, **changes: Any) -> Any:
    payload = {"id": str(FIRST + number), "content": content, **changes.pop("payload", {})}
    return message(FIRST + number, content, raw=json.dumps(payload).encode(), **changes)


async def write(engine: AsyncEngine, tenant: Tenant) -> None:
    """What others wrote of Bob, and what he wrote, as rules of before let it be kept."""
    named = channel(7, f"ticket-{BOB_ID}", metadata={"topic": f"of {BOB_ID}", "by": int(BOB_ID)})
    (stored,) = (await ChannelStore(engine, tenant.id).record([named])).values()
    pages = PostgresPages(engine)
    claim = await pages.claim(task(tenant.id, stored), "w1")
    assert claim is not None
    file = Attachment(
        5, f"of-{BOB_ID}.png", 9, f"image/png; {BOB_ID}", f"https://cdn.test/{BOB_ID}"
    )
    original = json.dumps({"content": f"\0 {BOB_ID}"})
    await pages.save_page(
        claim,
        page(
            said(1, f"ban {BOB_ID}, please"),
            said(2, "in a key", payload={"votes": {BOB_ID: 1}, "actor": int(BOB_ID)}),
            said(3, "with a face", payload={"embeds": [{"image": {"url": AVATAR}}]}),
            said(4, "with a file", attachments=(file,), payload={"of": BOB_ID}),
            said(
                5,
                "odd text",
                metadata=json.dumps({"original": original, "flags": int(BOB_ID)}).encode(),
                payload={"flags": int(BOB_ID)},
            ),
            said(6, "a reaction", reactions=(Reaction(EMOJI, 2, 0),), payload={"e": EMOJI}),
            said(7, f"{LONGER} is another number"),
            said(8, f"<@{BOB}> and u%20{BOB_ID}"),
            said(9, "it is I", author_ref=BOB, reactions=(Reaction("👍", 1, 0),)),
            said(
                10,
                "",
                metadata=b'{"is_forward": true}',
                payload={
                    "message_reference": {"type": 1, "message_id": str(FIRST + 9)},
                    "message_snapshots": [{"message": {"content": "it is I"}}],
                },
            ),
            said(11, "about nobody", payload={"message_reference": {"message_id": "u_erased"}}),
        ),
    )


@pytest.fixture
async def office(engine: AsyncEngine, database_url: str) -> TenantPrivacy:
    tenant = await add_tenant(engine)
    await write(engine, tenant)
    with psycopg.connect(database_url) as session:
        session.execute(
            "INSERT INTO message_versions (channel_id, platform_message_id, seen_at, content, raw) "
            "SELECT channel_id, platform_message_id, now(), %s, raw FROM messages "
            "WHERE platform_message_id IN (%s, %s)",
            (f"was about {BOB_ID}", FIRST + 1, FIRST + 9),
        )
        session.execute(
            "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status, error, result) "
            "SELECT gen_random_uuid(), id, 'full', 0, 'completed', %s, %s FROM tenants",
            (f"channel ticket-{BOB_ID} failed", json.dumps({"skipped": [{"name": BOB_ID}]})),
        )
    return TenantPrivacy(engine, tenant, "the tests")


async def test_who_is_forgotten_by_the_id_is_gone_by_the_id(
    office: TenantPrivacy, database_url: str
) -> None:
    would = await office.count_user(BOB, BOB_ID)

    erased = await office.forget_user(BOB, typed=BOB_ID)

    assert erased == would
    assert erased == ErasureCounts(messages=1, versions=1, reactions=1, mentions=7 + 1 + 1)
    assert tables_with(database_url, BOB) == {"suppressions"}
    with psycopg.connect(database_url) as session:
        session.execute("DELETE FROM messages WHERE platform_message_id = %s", (FIRST + 7,))
    assert tables_with(database_url, BOB_ID) == set()
    assert tables_with(database_url, "feedface") == set()
    with psycopg.connect(database_url) as session:
        result = session.execute("SELECT result FROM sync_jobs").fetchone()
        said = session.execute(
            "SELECT content FROM messages WHERE platform_message_id = %s", (FIRST + 8,)
        ).fetchone()
    assert result == ({"skipped": [{"name": "u_erased"}]},)
    assert said == ("<@u_erased> and u%20u_erased",)


async def test_a_number_that_holds_the_id_is_another_number(
    office: TenantPrivacy, database_url: str
) -> None:
    await office.forget_user(BOB, typed=BOB_ID)

    assert tables_with(database_url, f"{LONGER} is another number") == {"messages"}


async def test_forgetting_again_finds_nothing(office: TenantPrivacy) -> None:
    await office.forget_user(BOB, typed=BOB_ID)

    assert await office.count_user(BOB, BOB_ID) == ErasureCounts()
    assert await office.forget_user(BOB, typed=BOB_ID) == ErasureCounts()


async def test_the_audit_log_does_not_tell_the_id(office: TenantPrivacy, database_url: str) -> None:
    await office.forget_user(BOB, typed=BOB_ID)
    async for _ in office.export(BOB, BOB_ID, with_mentions=True):
        pass

    assert not {"audit_log"} & (tables_with(database_url, BOB_ID) | tables_with(database_url, BOB))


async def exported(office: TenantPrivacy, **how: Any) -> list[dict[str, Any]]:
    blocks = [block async for block in office.export(BOB, BOB_ID, **how)]
    return [json.loads(line) for line in b"".join(blocks).splitlines()]


async def test_an_export_says_where_others_name_them_and_not_what(office: TenantPrivacy) -> None:
    plain = await exported(office)
    lines = await exported(office, with_mentions=True)

    assert [each["kind"] for each in plain] == ["message"]
    mentions = [each for each in lines if each["kind"] == "mention"]
    assert [each["kind"] for each in lines] == ["message"] + ["mention"] * len(mentions)
    assert all(
        set(each) == {"kind", "channel_id", "message_id", "seen_at", "named_in"}
        for each in mentions
    )
    found = {
        (each["message_id"] and int(each["message_id"]) - FIRST, each["seen_at"] is not None): each[
            "named_in"
        ]
        for each in mentions
    }
    assert found == {
        (None, False): ["name", "metadata"],
        (1, False): ["content", "raw"],
        (1, True): ["content", "raw"],
        (2, False): ["raw"],
        (3, False): ["raw"],
        (4, False): ["raw"],
        (5, False): ["metadata", "raw"],
        (6, False): ["raw"],
        (8, False): ["content", "raw"],
    }


SECRET = "a secret key of these tests alone"
SETTINGS = Settings(RAYSYNC_SECRET_KEY=SECRET)


async def test_rescrubbing_leaves_no_id_anywhere(office: TenantPrivacy, database_url: str) -> None:
    people = Pseudonymizer(tenant_key(SECRET.encode(), office.tenant.guild_id))
    ref = people.author_ref(BOB_ID)
    with psycopg.connect(database_url) as session:
        session.execute("DELETE FROM scrubbings")
        session.execute("DELETE FROM messages WHERE platform_message_id = %s", (FIRST + 7,))

    done = await office.rescrub(SETTINGS)

    assert done == RescrubCounts(
        looked_at=10, messages=7, versions=2, attachments=1, reactions=1, channels=1
    )
    assert tables_with(database_url, BOB_ID) == set()
    assert tables_with(database_url, "feedface") == set()
    found = tables_with(database_url, ref)
    assert found == {
        "channels", "messages", "message_versions", "message_attachments",
        "message_emoji_reactions", "sync_jobs",
    }  # fmt: skip
    with psycopg.connect(database_url) as session:
        rows = dict(session.execute("SELECT platform_message_id, content FROM messages").fetchall())
        raw = session.execute(
            "SELECT raw FROM messages WHERE platform_message_id = %s", (FIRST + 2,)
        ).fetchone()
        name = session.execute("SELECT name, metadata FROM channels").fetchone()
        original = session.execute(
            "SELECT metadata ->> 'original' FROM messages WHERE platform_message_id = %s",
            (FIRST + 5,),
        ).fetchone()
        emoji = session.execute("SELECT emoji FROM message_emoji_reactions WHERE count = 2")
        assert emoji.fetchone() == (f"bob_{ref}:1203025117553754222",)
        job = session.execute("SELECT error, result FROM sync_jobs").fetchone()
    assert rows[FIRST + 1] == f"ban {ref}, please"
    assert rows[FIRST + 8] == f"<@{BOB}> and u%20{ref}"
    assert raw is not None
    assert (raw[0]["votes"], raw[0]["actor"]) == ({ref: 1}, ref)
    assert name == (f"ticket-{ref}", {"topic": f"of {ref}", "by": ref})
    assert original is not None
    assert json.loads(original[0]) == {"content": f"\0 {ref}"}
    assert job == (f"channel ticket-{ref} failed", {"skipped": [{"name": ref}]})


async def test_reports_keep_the_ids_of_channels(office: TenantPrivacy, database_url: str) -> None:
    known, other = "603025117553754135", {"channel_id": "703025117553754135", "name": "x"}
    with psycopg.connect(database_url) as session:
        session.execute(
            "INSERT INTO channels (tenant_id, platform_channel_id, name, type) "
            "SELECT id, %s, 'general', 0 FROM tenants",
            (known,),
        )
        session.execute(
            "UPDATE sync_jobs SET error = %s, result = %s",
            (f"channel {known} failed", json.dumps({"skipped": [other], "n": 12})),
        )

    await office.rescrub(SETTINGS)

    with psycopg.connect(database_url) as session:
        job = session.execute("SELECT error, result FROM sync_jobs").fetchone()
    assert job == (f"channel {known} failed", {"skipped": [other], "n": 12})


async def test_rescrubbing_is_told_to_the_audit_log(
    office: TenantPrivacy, database_url: str
) -> None:
    await office.rescrub(SETTINGS)

    with psycopg.connect(database_url) as session:
        told = session.execute("SELECT action, details FROM audit_log ORDER BY id").fetchall()
    assert [action for action, _ in told] == ["privacy rescrub begun", "privacy rescrub"]
    assert told[1][1]["looked_at"] == 11
    assert told[1][1]["rules"] == SCRUBBING_RULES


async def test_new_tenants_begin_under_todays_rules(office: TenantPrivacy) -> None:
    scrubbing = await office.scrubbing()

    assert (scrubbing.rules, scrubbing.is_due) == (SCRUBBING_RULES, False)
