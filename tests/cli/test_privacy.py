"""`raysync privacy` and `raysync forget`."""

from __future__ import annotations

import json
import re
import stat

import psycopg
import pytest

from raysync.credentials import key_mark, tenant_key
from raysync.discord_api.people.pseudonyms import Pseudonymizer
from tests.dump import dumped

GUILD = 41771983423143937
CHANNEL = 300000000000000001
ALICE, BOB = "803025117553754132", "903025117553754133"
FORGET = ("forget", "--tenant", "takaro")
PRIVACY = ("--tenant", "takaro")
NOON = 1_100_000_000_000_000_000


@pytest.fixture
def takaro(run, with_database) -> dict[str, str]:
    """A tenant with three messages, one of them Bob's, one to him; what people are called in it."""
    added = run("tenant", "add", "takaro", "--guild", str(GUILD), "--token-env", "T")
    assert added.exit_code == 0, added.stderr
    people = Pseudonymizer(tenant_key(b"a secret key of the tests alone", GUILD))
    alice, bob = people.author_ref(ALICE), people.author_ref(BOB)
    said = [(1, alice, "hello"), (2, bob, "it is I, Bob"), (3, alice, f"<@{bob}> there you are")]
    with psycopg.connect(with_database) as session:
        session.execute(
            "INSERT INTO channels (tenant_id, platform_channel_id, name, type) "
            "SELECT id, %s, 'general', 0 FROM tenants",
            (CHANNEL,),
        )
        session.execute(
            "INSERT INTO sync_progress (tenant_id, channel_id, message_count) "
            "SELECT tenant_id, id, 3 FROM channels"
        )
        for number, author, content in said:
            session.execute(
                "INSERT INTO messages (channel_id, platform_message_id, tenant_id,"
                " anonymized_author_id, content, type, platform_created_at, metadata, raw) "
                "SELECT id, %s, tenant_id, %s, %s, 0, now(), '{}',"
                " jsonb_build_object('author', jsonb_build_object('id', %s::text)) FROM channels",
                (NOON + number, author, content, author),
            )
        session.execute(
            "INSERT INTO message_emoji_reactions SELECT id, %s, '👍', %s, 1, 0 FROM channels",
            (NOON + 1, bob),
        )
    return {"alice": alice, "bob": bob}


@pytest.mark.usefixtures("takaro")
def test_without_a_yes_it_tells_what_would_go_and_erases_nothing(run, with_database):
    before = dumped(with_database)

    result = run(*FORGET, "--user", BOB)

    assert result.exit_code == 2
    assert "1 message, 0 earlier versions, 1 reaction, 0 attachments, 1 mention" in result.stderr
    assert "--yes" in result.stderr
    assert dumped(with_database) == before


@pytest.mark.parametrize("named", ["id", "pseudonym"])
def test_a_user_is_erased_by_the_id_or_by_the_pseudonym(run, with_database, takaro, named):
    result = run(*FORGET, "--user", BOB if named == "id" else takaro["bob"], "--yes", "--json")

    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert (shown["tenant"], shown["what"]) == ("takaro", "user")
    assert shown["erased"] == {
        "messages": 1, "versions": 0, "reactions": 1, "attachments": 0, "mentions": 1, "files": 0,
    }  # fmt: skip
    tables = dumped(with_database)
    assert {name for name, text in tables.items() if takaro["bob"] in text} == {"suppressions"}
    assert not any(BOB in text for text in tables.values())
    assert "<@u_erased> there you are" in tables["messages"]
    listed = json.loads(run(*FORGET, "--list", "--json").stdout)["forgotten"]
    assert [(each["kind"], each["ref"]) for each in listed] == [("user", takaro["bob"])]
    assert listed[0]["erased_at"] is not None
    assert takaro["bob"] in run(*FORGET, "--list").stdout
    audited = json.loads(run("audit", "--tenant", "takaro", "--json").stdout)["entries"]
    actions = [each["action"] for each in audited]
    assert actions[:2] == ["forget", "forget begun"]
    assert audited[0]["details"]["messages"] == 1


def test_undo_lifts_it_once(run, takaro):
    run(*FORGET, "--user", BOB, "--yes")

    assert "start --tenant takaro --full" in run(*FORGET, "--undo", "--user", BOB).stderr

    run(*FORGET, "--user", BOB, "--yes")
    undone = json.loads(run(*FORGET, "--undo", "--user", BOB, "--json").stdout)
    assert undone == {"tenant": "takaro", "what": "user", "undone": True}
    again = run(*FORGET, "--undo", "--user", takaro["bob"])
    assert (again.exit_code, "was not forgotten" in again.stderr) == (2, True)
    assert "No user and no channel was forgotten" in run(*FORGET, "--list").stderr


@pytest.mark.usefixtures("takaro")
def test_a_channel_and_a_tenant_are_erased(run, with_database):
    would = run(*FORGET, "--channel", str(CHANNEL)).stderr
    assert "3 messages, 0 earlier versions, 1 reaction, 0 attachments." in would
    result = run(*FORGET, "--channel", str(CHANNEL), "--yes")
    assert result.exit_code == 0, result.stderr
    assert "3 messages" in result.stderr
    assert dumped(with_database)["messages"] == ""

    assert run(*FORGET, "--all", "--yes").exit_code == 0
    assert dumped(with_database)["tenants"] == ""
    gone = run(*FORGET, "--all", "--yes")
    assert (gone.exit_code, "no tenant takaro" in gone.stderr) == (2, True)


@pytest.mark.usefixtures("takaro")
@pytest.mark.parametrize(
    "arguments",
    [
        (*FORGET,),
        (*FORGET, "--user", BOB, "--all"),
        (*FORGET, "--list", "--undo"),
        (*FORGET, "--all", "--undo"),
        (*FORGET, "--list", "--attachments", "/files"),
        (*FORGET, "--undo", "--user", BOB, "--without-place", "/files"),
        (*FORGET, "--user", "bob.builder"),
        (*FORGET, "--user", "u_short"),
        ("privacy", "retention", *PRIVACY, "--max-age", "0"),
        ("privacy", "retention", *PRIVACY, "--max-age", "soon"),
        ("privacy", "export", *PRIVACY, "--user", "bob"),
        ("privacy", "show", "--tenant", "nobody"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(run, arguments):
    result = run(*arguments)

    assert result.exit_code == 2
    assert result.stderr
    assert "Traceback" not in result.output


def test_a_tenant_that_keeps_ids_has_no_pseudonyms(run, with_database):
    added = ("tenant", "add", "open", "--guild", "7", "--token-env", "T", "--privacy", "full")
    assert run(*added).exit_code == 0

    for arguments in (
        ("forget", "--tenant", "open", "--user", "u_" + "a" * 26, "--yes"),
        ("privacy", "rotate", "--tenant", "open"),
        ("privacy", "accept-key", "--tenant", "open", "--yes"),
    ):
        result = run(*arguments)
        assert (result.exit_code, "by their ids" in result.stderr) == (2, True)


def test_show_says_what_is_kept(run, takaro):
    run(*FORGET, "--user", BOB, "--yes")
    run("privacy", "retention", *PRIVACY, "--max-age", "36500d")
    run("privacy", "rotate", *PRIVACY)

    shown = json.loads(run("privacy", "show", *PRIVACY, "--json").stdout)

    assert shown["privacy"] == "pseudonymous"
    assert (shown["key_generation"], shown["rotation_unfinished"]) == (1, False)
    assert (shown["forgotten_users"], shown["forgotten_channels"]) == (1, 0)
    assert shown["retention"] == {"max_age_s": 36500 * 86400.0, "purge_deleted_after_s": None}
    assert (shown["kept"]["messages"], shown["kept"]["authors"]) == (2, 1)
    told = run("privacy", "show", *PRIVACY).stdout
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in told.splitlines())
    assert re.fullmatch(r"1 time, last at [\d-]{10} \d\d:\d\d UTC", rows["pseudonyms were changed"])
    assert rows["forgotten"] == "1 user, 0 channels"
    assert rows["messages are kept"] == "36,500 days"
    assert rows["deleted messages"] == "0"
    assert not re.search(r"_|False|None|–", told), "no key and no value of the program's"


def test_another_key_is_refused_until_it_is_accepted(run, with_database, takaro, monkeypatch):
    accept = ("privacy", "accept-key", *PRIVACY)
    mark = key_mark(b"a secret key of the tests alone", GUILD)
    with psycopg.connect(with_database) as session:
        session.execute(
            "INSERT INTO key_checks (tenant_id, mark) SELECT id, %s FROM tenants", [mark]
        )
    assert "nothing to accept" in run(*accept, "--yes").stderr
    before = dumped(with_database)

    monkeypatch.setenv("RAYSYNC_SECRET_KEY", "a key that somebody made anew")
    for arguments in (
        (*FORGET, "--user", BOB, "--yes"),
        ("privacy", "rotate", *PRIVACY),
        ("privacy", "export", *PRIVACY, "--user", BOB),
    ):
        result = run(*arguments)
        assert (result.exit_code, "under another RAYSYNC_SECRET_KEY" in result.stderr) == (2, True)
    assert run(*accept).exit_code == 2
    assert dumped(with_database) == before

    assert run(*accept, "--yes").exit_code == 0
    assert "0 messages" in run(*FORGET, "--user", BOB).stderr
    assert "1 message," in run(*FORGET, "--user", takaro["bob"]).stderr
    (entry, *_) = json.loads(run("audit", "--json").stdout)["entries"]
    assert (entry["action"], entry["tenant"]) == ("privacy accept-key", "takaro")


@pytest.mark.usefixtures("takaro")
def test_retention_is_set_shown_and_lifted_one_by_one(run):
    set_ = ("privacy", "retention", *PRIVACY)
    run(*set_, "--max-age", "365d", "--purge-deleted-after", "30d")

    run(*set_, "--max-age", "none")

    told = json.loads(run(*set_, "--json").stdout)
    assert told == {"tenant": "takaro", "max_age_s": None, "purge_deleted_after_s": 30 * 86400.0}
    assert "after 30 days" in run(*set_).stdout


@pytest.mark.usefixtures("takaro")
def test_purge_erases_what_is_past_it(run, with_database):
    run("privacy", "retention", *PRIVACY, "--max-age", "1d")

    purged = json.loads(run("privacy", "purge", "--yes", "--json").stdout)["purged"]

    assert [(each["tenant"], each["erased"]) for each in purged] == [("takaro", 3)]
    assert dumped(with_database)["messages"] == ""
    again = run("privacy", "purge", *PRIVACY)
    assert again.exit_code == 0, "where nothing is due, nobody is asked"
    assert "0 messages erased" in again.stderr


@pytest.mark.usefixtures("takaro")
def test_purge_shows_what_would_go_and_asks(run, with_database):
    run("privacy", "retention", *PRIVACY, "--max-age", "1d")
    before = dumped(with_database)

    result = run("privacy", "purge")

    assert result.exit_code == 2
    assert "takaro: this would erase 3 messages, empty 0 deleted messages" in result.stderr
    assert "--yes" in result.stderr
    assert dumped(with_database) == before, "no entry of the audit log either"


@pytest.mark.usefixtures("takaro")
def test_a_tenant_whose_files_cannot_be_reached_keeps_no_other_from_its_purge(
    run, with_database, tmp_path
):
    run("tenant", "add", "aloft", "--guild", "7", "--token-env", "T")
    for slug in ("aloft", "takaro"):
        run("privacy", "retention", "--tenant", slug, "--max-age", "1d")
    files = json.dumps({"extras": {"files": {"url": str(tmp_path / "gone")}}})
    with psycopg.connect(with_database) as session:
        session.execute(
            "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status, options) "
            "SELECT gen_random_uuid(), id, 'full', 0, 'completed', %s FROM tenants "
            "WHERE slug = 'aloft'",
            (files,),
        )
        session.execute(
            "INSERT INTO channels (tenant_id, platform_channel_id, name, type) "
            "SELECT id, 9, 'general', 0 FROM tenants WHERE slug = 'aloft'"
        )
        session.execute(
            "INSERT INTO messages (channel_id, platform_message_id, tenant_id, content, type,"
            " platform_created_at, metadata, raw) SELECT id, %s, tenant_id, 'old', 0, now(), '{}',"
            " '{}' FROM channels WHERE name = 'general' AND platform_channel_id = 9",
            (NOON,),
        )
        session.execute(
            "INSERT INTO message_attachments (channel_id, platform_message_id,"
            " platform_attachment_id, filename, file_size, url, blob_key) SELECT channel_id,"
            " platform_message_id, 1, 'a', 1, 'https://cdn.test/a', 'key' FROM messages"
            " WHERE content = 'old'"
        )

    result = run("privacy", "purge", "--yes", "--json")

    assert result.exit_code == 1
    assert "aloft was not purged. There is no folder" in " ".join(result.stderr.split())
    purged = json.loads(result.stdout)["purged"]
    assert [(each["tenant"], each["erased"]) for each in purged] == [("takaro", 3)]
    assert "old" in dumped(with_database)["messages"]


def test_a_rotation_leaves_no_old_pseudonym(run, with_database, takaro):
    result = run("privacy", "rotate", *PRIVACY)

    assert (result.exit_code, "generation 1" in result.stderr) == (0, True)
    assert not any(takaro[each] in "".join(dumped(with_database).values()) for each in takaro)
    would = run(*FORGET, "--user", BOB)  # the id leads to the new one
    assert "1 message, 0 earlier versions, 1 reaction" in would.stderr


@pytest.fixture
def older(takaro, with_database) -> dict[str, str]:
    """The same tenant, as it was kept under earlier rules: one text names Bob by the id."""
    with psycopg.connect(with_database) as session:
        session.execute("DELETE FROM scrubbings")
        session.execute(
            "UPDATE messages SET content = %s, raw = raw || jsonb_build_object('content', %s::text)"
            " WHERE platform_message_id = %s",
            (f"ban {BOB}", f"ban {BOB}", NOON + 1),
        )
    return takaro


@pytest.mark.usefixtures("older")
def test_rescrubbing_asks_first(run, with_database):
    before = dumped(with_database)

    result = run("privacy", "rescrub", *PRIVACY)

    assert (result.exit_code, "--yes" in result.stderr) == (2, True)
    assert "This would check 3 messages of takaro." in result.stderr
    assert dumped(with_database) == before
    for arguments in ((), (*PRIVACY, "--all")):
        usage = run("privacy", "rescrub", *arguments, "--yes")
        assert (usage.exit_code, "exactly one of" in usage.stderr) == (2, True)


def test_what_was_kept_before_is_rewritten(run, with_database, older):
    assert "follow earlier privacy rules" in run("privacy", "show", *PRIVACY).stdout

    done = json.loads(run("privacy", "rescrub", *PRIVACY, "--yes", "--json").stdout)

    assert done == {
        "rescrubbed": [
            {
                "tenant": "takaro", "looked_at": 3, "messages": 1, "versions": 0,
                "attachments": 0, "reactions": 0, "channels": 0,
            }
        ]
    }  # fmt: skip
    tables = dumped(with_database)
    assert not any(BOB in text for text in tables.values())
    assert f"ban {older['bob']}" in tables["messages"]
    shown = json.loads(run("privacy", "show", *PRIVACY, "--json").stdout)
    assert (shown["rescrub_due"], shown["scrubbing_rules"]) == (False, 2)
    assert "start --tenant takaro --full" in run("privacy", "rescrub", *PRIVACY, "--yes").stderr


@pytest.mark.usefixtures("older")
def test_all_takes_those_that_have_rows_of_earlier_rules(run):
    added = ("tenant", "add", "young", "--guild", "7", "--token-env", "T")
    assert run(*added).exit_code == 0

    done = json.loads(run("privacy", "rescrub", "--all", "--yes", "--json").stdout)

    assert [each["tenant"] for each in done["rescrubbed"]] == ["takaro"]
    again = run("privacy", "rescrub", "--all")
    assert (again.exit_code, "No archive has rows" in again.stderr) == (0, True)


def hold_all(driver: psycopg.Connection) -> None:
    """Hold every tenant for as long as the connection lives, as a driver does."""
    driver.execute(
        "UPDATE locks SET holder = 'it', backend_pid = a.pid, taken_at = now(),"
        " backend_start = a.backend_start, renewed_at = now(),"
        " expires_at = now() + interval '1 hour'"
        " FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()"
    )


@pytest.mark.usefixtures("takaro")
@pytest.mark.parametrize(
    "command",
    [
        (*FORGET, "--user", BOB, "--yes"),
        (*FORGET, "--channel", str(CHANNEL), "--yes"),
        (*FORGET, "--all", "--yes"),
        (*FORGET, "--user", BOB),
        ("privacy", "purge", *PRIVACY, "--yes"),
        ("privacy", "purge", *PRIVACY),
        ("privacy", "rotate", *PRIVACY),
        ("privacy", "rescrub", *PRIVACY, "--yes"),
        ("privacy", "rescrub", *PRIVACY),
        ("privacy", "accept-key", *PRIVACY, "--yes"),
        ("reset", *PRIVACY, "--yes"),
        ("reset", *PRIVACY),
        ("tenant", "remove", "takaro", "--yes"),
        ("tenant", "remove", "takaro"),
        (*FORGET, "--all", "--attachments", "nonsense://x", "--yes"),
        ("start", *PRIVACY),
        ("schedule", "--every", "1h", *PRIVACY),
    ],
    ids=" ".join,
)
def test_what_is_refused_by_a_lock_or_by_nobodys_yes_leaves_no_entry(run, with_database, command):
    run("privacy", "retention", *PRIVACY, "--max-age", "1d")
    before = dumped(with_database)["audit_log"]
    with psycopg.connect(with_database, autocommit=True) as driver:
        hold_all(driver)
        result = run(*command)

    assert result.exit_code == 2, result.output
    assert dumped(with_database)["audit_log"] == before


@pytest.mark.usefixtures("older")
def test_a_tenant_that_is_synced_is_left_out_and_told(run, with_database):
    with psycopg.connect(with_database, autocommit=True) as driver:
        hold_all(driver)
        result = run("privacy", "rescrub", "--all", "--yes")
        alone = run("privacy", "rescrub", *PRIVACY, "--yes")

    assert (result.exit_code, "takaro was not rewritten." in result.stderr) == (3, True)
    assert (alone.exit_code, "Traceback" in alone.output) == (2, False)
    assert BOB in dumped(with_database)["messages"]


@pytest.mark.usefixtures("older")
def test_a_forgotten_id_is_gone_from_rows_of_before_too(run, with_database):
    would = run(*FORGET, "--user", BOB).stderr
    erased = run(*FORGET, "--user", BOB, "--yes").stderr

    counted = "1 message, 0 earlier versions, 1 reaction, 0 attachments, 2 mentions"
    assert counted in would
    assert counted in erased
    assert not any(BOB in text for text in dumped(with_database).values())


def test_an_export_holds_all_of_one_user_and_nothing_of_others(run, tmp_path, takaro):
    lines = [
        json.loads(line)
        for line in run("privacy", "export", *PRIVACY, "--user", BOB).stdout.splitlines()
    ]

    assert [each["kind"] for each in lines] == ["message", "reaction"]
    assert lines[0]["content"] == "it is I, Bob"
    assert (lines[0]["versions"], lines[0]["attachments"]) == ([], [])
    assert lines[1]["emoji"] == "👍"
    file = tmp_path / "bob.jsonl"
    written = run("privacy", "export", *PRIVACY, "--user", takaro["bob"], "--output", str(file))
    assert "2 lines written" in written.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [json.loads(each) for each in file.read_text().splitlines()] == lines
    (entry, *_) = json.loads(run("audit", "--json").stdout)["entries"]
    assert (entry["action"], entry["details"]) == ("privacy export", {"lines": 2})
