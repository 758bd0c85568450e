"""`raysync status`, and `raysync reset`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from raysync.cli import job_liveness, status
from raysync.cli.progress.status_view import (
    SILENT_AFTER_S,
    job_as_json,
    render_job,
    render_overview,
)
from raysync.models.ids import ChannelId, JobId, MessageId, TenantId
from raysync.models.records import JobRecord, LockRecord, Quarantine, QuarantinedMessage
from raysync.models.results import ArchivedThreads, Verification
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.store.jobs.rows import view_json
from tests.cli.samples import (
    JOB_ID,
    NO_SEARCH,
    STARTED,
    channel_view,
    failed_channel,
    job_result,
    job_view,
)
from tests.hostile import plain_session

NOW = STARTED + timedelta(seconds=31)
RUNNING_ID = JobId("0d5c1a52-51a1-4bb5-8ad2-0c2d52b1a001")
HOLD = (
    "UPDATE locks SET holder = 'it', host = 'here', backend_pid = a.pid, taken_at = now(),"
    " backend_start = a.backend_start, renewed_at = now(), expires_at = now() + interval '1 hour'"
    " FROM pg_stat_activity a WHERE a.pid = pg_backend_pid() AND name LIKE 'tenant/%'"
)
LOOKED_AT = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'raysync'"


def record(**changes) -> JobRecord:
    running = JobRecord(
        id=JOB_ID,
        tenant_id=TenantId(1),
        tenant="takaro",
        status=JobStatus.RUNNING,
        window=SyncWindow(SyncType.INCREMENTAL),
        ray_job_id=None,
        started_at=STARTED,
        completed_at=None,
        heartbeat_age_s=0.4,
        error=None,
        view=job_view(30),
        result=None,
    )
    return replace(running, **changes)


def text_of(renderable, width=100) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_running_job_tells_rates_and_what_is_left():
    text = text_of(render_job(record(), NOW, rows=20))

    assert f"takaro: job {JOB_ID} running for 31.0 s" in text
    assert "incremental, 64 channels: 9 synced, 4 skipped, 51 to go" in text
    assert "24,310 messages (1,204/s), ETA 0:19" in text
    assert "1,462 requests (47.0/s, 97 % of the limit), 0 × 429" in text
    assert text.count("#channel-") == 20
    assert "and 10 more channels. --all shows all" in text


def test_a_finished_job_tells_when_it_ended_and_how_well():
    ended = STARTED + timedelta(seconds=33.4)
    done = record(
        status=JobStatus.PARTIAL,
        completed_at=ended,
        view=job_view(channels=(failed_channel(3), channel_view(4))),
        result=job_result(status="partial"),
    )

    text = text_of(render_job(done, ended + timedelta(hours=2)))

    assert "partial 2 h 0 min ago, after 33.4 s" in text
    assert "efficiency 0.97: Discord's limits allow 31.2 s at best" in text
    assert "#channel-3: Discord answers 403" in text
    assert "of the limit" not in text


def test_no_channel_of_a_job_that_ended_is_in_progress():
    views = {"view": job_view(channels=(channel_view(1),))}
    ended = record(status=JobStatus.CANCELLED, completed_at=NOW, **views)

    assert "not finished" in text_of(render_job(ended, NOW))
    assert "in progress" not in text_of(render_job(ended, NOW))
    assert "in progress" in text_of(render_job(record(**views), NOW))


def test_a_running_job_nobody_speaks_for_is_said_to_look_dead():
    text = text_of(render_job(record(heartbeat_age_s=SILENT_AFTER_S + 300), NOW))

    assert "last heartbeat is 5 min 30 s old" in text
    assert f"resume --job-id {JOB_ID}" in " ".join(text.split())


def test_a_job_without_a_driver_is_shown_as_abandoned_among_others():
    gone = LockRecord("a-host\x1b[2J", STARTED, STARTED, 3.0, is_held=False)
    abandoned = record(is_abandoned=True, driver=gone)

    lines = text_of(render_overview([abandoned, record(tenant="other")], NOW), width=120)

    row = next(each for each in lines.splitlines() if "takaro" in each)
    assert "abandoned" in row
    assert "1,204" not in row
    assert "\x1b" not in text_of(render_job(abandoned, NOW))
    assert "in progress" not in text_of(render_job(abandoned, NOW))


def test_a_job_that_failed_says_why():
    stopped = record(status=JobStatus.FAILED, completed_at=NOW, error="Discord blocks this address")

    text = " ".join(text_of(render_job(stopped, NOW)).split())
    assert "Discord blocks this address" in text
    assert f"raysync resume --job-id {JOB_ID}" in text


def test_a_job_with_no_word_yet_is_shown_all_the_same():
    assert "running for 31.0 s" in text_of(render_job(record(view=None), NOW))
    assert job_as_json(record(view=None))["progress"] is None


def test_several_tenants_have_a_row_each():
    other = record(tenant="other", status=JobStatus.COMPLETED, completed_at=NOW)

    lines = text_of(render_overview([record(), other], NOW), width=120).splitlines()

    assert any("takaro" in line and "running" in line and "1,204" in line for line in lines)
    assert any("other" in line and "completed" in line for line in lines)


def test_a_verification_is_called_one_and_counts_no_messages_that_it_does_not_read():
    found = Verification(channels=9, proven=8, gaps=[])
    done = record(
        status=JobStatus.COMPLETED,
        window=SyncWindow(SyncType.VERIFY),
        completed_at=NOW,
        view=job_view(channels_total=0, channels_completed=0, messages=0, channels=()),
        result=job_result(verification=found),
    )

    text = text_of(render_job(done, NOW))
    assert "verify, 3 skipped" in text
    assert "8 of 9 channels proven complete" in text
    assert "0 messages" not in text
    rows = text_of(render_overview([done, record()], NOW)).splitlines()
    assert [row.split()[:2] for row in rows[2:4]] == [
        ["takaro", "verify"],
        ["takaro", "incremental"],
    ]


def test_json_has_ids_as_strings_and_all_channels():
    told = json.loads(json.dumps(job_as_json(record())))

    assert told["job_id"] == JOB_ID
    assert told["progress"]["messages"] == 24_310
    assert [each["channel_id"] for each in told["channels"]] == [str(1000 + n) for n in range(30)]


def test_no_job_yet_is_a_sentence(run, takaro):
    result = run("status")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "no sync job yet" in result.stderr
    assert json.loads(run("status", "--json").stdout) == {"jobs": []}


@pytest.mark.parametrize("which", [[], ["--tenant", "takaro"], ["--job-id", JOB_ID]])
def test_a_job_is_found_by_itself_by_tenant_and_by_id(run, job, which):
    assert f"takaro: job {JOB_ID} cancelled" in run("status", *which).stdout
    assert json.loads(run("status", "--json", *which).stdout)["jobs"][0]["job_id"] == JOB_ID


def test_watching_a_job_that_ended_ends(run, job):
    assert "cancelled" in run("status", "--watch", "--job-id", JOB_ID).stdout


@contextmanager
def driver(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A driver whose job has begun; it is gone at the end, without a word."""
    with plain_session(url) as session:
        session.execute(
            "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, progress) "
            "SELECT %s, id, 'full', 0, %s FROM tenants",
            (RUNNING_ID, view_json(replace(job_view(), job_id=RUNNING_ID))),
        )
        session.execute(HOLD)
        yield session


def ended_well(session: psycopg.Connection[tuple[object, ...]]) -> None:
    session.execute("UPDATE sync_jobs SET status = 'completed', completed_at = now()")


def test_a_job_whose_driver_lives_is_running_however_long_it_has_written_nothing(run, takaro):
    with driver(takaro) as session:
        session.execute("UPDATE sync_jobs SET heartbeat_at = now() - interval '1 hour'")

        shown = run("status").stdout
        (told,) = json.loads(run("status", "--json").stdout)["jobs"]

    assert "running for" in shown
    assert "1,204/s" in shown
    assert "the driver on here is alive" in shown
    assert (told["seems_dead"], told["driver_gone"]) == (False, False)


def test_a_job_whose_driver_was_killed_is_no_running_one_at_once(run, takaro, monkeypatch):
    monkeypatch.setattr(job_liveness, "RECONNECT_TIMEOUT_S", 0.05)
    with driver(takaro):
        pass

    shown = run("status").stdout
    (told,) = json.loads(run("status", "--json").stdout)["jobs"]
    reported = run("report").stdout

    assert f"takaro: job {RUNNING_ID} abandoned, started" in shown
    assert "The job's driver on here is gone. The job's last heartbeat" in shown
    assert "resume --job-id " in shown
    assert "/s" not in shown
    assert "ETA" not in shown
    assert (told["status"], told["seems_dead"], told["driver_gone"]) == ("running", True, True)
    rates = told["progress"]
    assert (rates["messages_per_second"], rates["requests_per_second"], rates["eta_s"]) == (
        0.0,
        0.0,
        None,
    )
    assert "silent" in reported


def test_a_driver_on_a_machine_that_vanished_counts_as_gone_when_its_lease_has_expired(run, takaro):
    with driver(takaro) as session:
        session.execute("UPDATE locks SET renewed_at = now() - interval '41 s', expires_at = now()")
        shown = run("status").stdout

    assert "driver on here has sent no heartbeat for 41." in shown
    assert "1,204/s" not in shown


def test_a_driver_whose_connection_broke_is_not_gone(run, takaro):
    """It opens another within two seconds; a moment before that its lock looks abandoned."""
    looks, back = threading.Event(), threading.Event()

    def come_back() -> None:
        with plain_session(takaro) as session:
            while not session.execute(LOOKED_AT).fetchone() and not back.is_set():
                looks.wait(0.01)
            session.execute(HOLD)
            back.wait(30)

    with driver(takaro):
        pass
    reconnecting = threading.Thread(target=come_back)
    reconnecting.start()
    try:
        assert "running for" in run("status").stdout
    finally:
        back.set()
        reconnecting.join()


@contextmanager
def watching(*which: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "raysync", "status", "--watch", *which]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


@pytest.mark.parametrize("which", [[], ["--tenant", "takaro"]])
def test_a_watch_waits_for_a_job_to_begin_and_ends_with_it(job, takaro, which):
    """The job of before has ended: it is none to wait for."""
    with watching(*which) as program:
        assert "Waiting for one to start" in program.stderr.readline()
        with driver(takaro) as session:
            assert program.stdout.readline().startswith("takaro: 24,310 messages (1,204/s)")
            session.execute("UPDATE sync_jobs SET status = 'completed', completed_at = now()")
            out, err = program.communicate(timeout=60)

    assert (program.returncode, err) == (0, "")
    assert f"job {RUNNING_ID} completed" in out


def test_a_watch_ends_where_the_driver_is_gone_and_says_so(takaro):
    with watching() as program:
        assert "Waiting" in program.stderr.readline()
        with driver(takaro):
            assert "1,204/s" in program.stdout.readline()
        out, _ = program.communicate(timeout=60)

    assert program.returncode == 0
    assert f"job {RUNNING_ID} abandoned" in out


def test_a_watch_shows_a_job_that_has_begun_and_ended_between_two_looks():
    watch = status._Watch(None)

    assert watch.update([record(status=JobStatus.COMPLETED, id="before")])
    assert not watch.update([record(status=JobStatus.COMPLETED, id="since")])


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        (["--job-id", "12"], "not a job's id"),
        (["--job-id", "6f1c1c1e-6a52-4f0e-9f55-0a8f7f0a9d12"], "There is no job"),
        (["--tenant", "nobody"], "no tenant nobody"),
        (["--tenant", "takaro", "--job-id", JOB_ID], "exclude each other"),
        (["--watch", "--json"], "exclude each other"),
    ],
)
def test_a_job_that_cannot_be_shown_exits_2(run, takaro, which, sentence):
    result = run("status", *which)

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_reset_forgets_progress_and_leaves_messages(run, takaro):
    with psycopg.connect(takaro) as session:
        session.execute(
            "INSERT INTO channels (tenant_id, platform_channel_id, name, type) "
            "SELECT id, 300, 'general', 0 FROM tenants"
        )
        session.execute(
            "INSERT INTO sync_progress (tenant_id, channel_id, coverage) "
            "SELECT tenant_id, id, '{[1,9)}' FROM channels"
        )

    result = run("reset", "--tenant", "takaro", "--yes")

    assert result.exit_code == 0, result.stderr
    assert "1 channel is forgotten" in result.stderr
    with psycopg.connect(takaro) as session:
        covered = session.execute("SELECT count(*) FROM sync_progress WHERE coverage <> '{}'")
        audited = session.execute("SELECT tenant, details FROM audit_log WHERE action = 'reset'")
        assert covered.fetchone() == (0,)
        assert audited.fetchall() == [("takaro", {"channels": 1})]


def test_reset_needs_a_yes_where_nobody_can_be_asked(run, takaro):
    result = run("reset", "--tenant", "takaro")

    assert result.exit_code == 2
    assert "--yes" in result.stderr


def test_reset_of_an_unknown_tenant_exits_2(run, takaro):
    assert run("reset", "--tenant", "nobody", "--yes").exit_code == 2


def test_the_page_about_json_names_every_key():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")

    told = job_as_json(record())
    for key in {*told, *told["progress"], *told["channels"][0]}:
        assert f'"{key}"' in page


def test_what_the_api_has_no_route_for_is_told_as_the_run_told_it():
    done = record(status=JobStatus.COMPLETED, result=job_result(not_covered=[NO_SEARCH]))

    assert f"not covered: {NO_SEARCH.what}" in text_of(render_job(done, NOW))
    assert job_as_json(done)["not_covered"] == [NO_SEARCH.model_dump()]
    assert job_as_json(record(result=None))["not_covered"] == []


def test_how_far_archived_threads_are_compared_is_told_as_the_run_told_it():
    found = ArchivedThreads(lists=2_000, compared=340, unsettled=0, compared_since=None)
    done = record(status=JobStatus.COMPLETED, result=job_result(archived_threads=found))

    assert "340 of 2,000 lists in this run" in text_of(render_job(done, NOW))
    assert job_as_json(done)["archived_threads"] == found.model_dump()
    assert job_as_json(record(result=None))["archived_threads"] is None


def test_what_could_not_be_read_whole_is_counted_and_named():
    first = (QuarantinedMessage(ChannelId(5), "general", MessageId(7), ("content", "flags")),)
    found = record(quarantine=Quarantine(3, 2, first))

    assert "quarantined: 3 messages stored with fields that could not be read" in text_of(
        render_job(found, NOW)
    )
    told = job_as_json(found)
    assert told["quarantined"] == 3
    assert told["quarantined_messages"] == [
        {"channel_id": "5", "message_id": "7", "fields": ["content", "flags"]}
    ]
    assert "quarantined" not in text_of(render_job(record(), NOW))


def test_the_state_of_now_is_told_whatever_the_job_found(run, takaro, database_url):
    with psycopg.connect(database_url) as session:
        (tenant,) = session.execute("SELECT id FROM tenants").fetchone()
        session.execute(
            "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status, completed_at)"
            f" VALUES (gen_random_uuid(), {tenant}, 'full', 0, 'completed', now())"
        )
        (key,) = session.execute(
            "INSERT INTO channels (tenant_id, platform_channel_id, name, type)"
            f" VALUES ({tenant}, 5, 'general', 0) RETURNING id"
        ).fetchone()
        session.execute(
            "INSERT INTO messages (channel_id, platform_message_id, tenant_id, content, type,"
            " platform_created_at, metadata, raw, quarantine)"
            f" VALUES ({key}, 7, {tenant}, '', 0, now(), '{{}}', '{{}}', '{{content}}')"
        )
    (told,) = json.loads(run("status", "--json").stdout)["jobs"]
    assert told["quarantined"] == 1
    assert "1 message stored with fields" in run("status").stdout
    with psycopg.connect(database_url) as session:
        session.execute("UPDATE messages SET quarantine = NULL")
    (told,) = json.loads(run("status", "--json").stdout)["jobs"]
    assert (told["quarantined"], told["quarantined_messages"]) == (0, [])
