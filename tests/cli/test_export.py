"""`raysync export`."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import psycopg
import pytest

CHANNEL = 300
EXPORT = ("export", "--tenant", "takaro", "--format", "jsonl")


@pytest.fixture
def takaro(run, with_database):
    """A tenant with three messages."""
    added = run("tenant", "add", "takaro", "--guild", "5", "--token-env", "T")
    assert added.exit_code == 0, added.stderr
    with psycopg.connect(with_database) as session:
        session.execute(
            "INSERT INTO channels (tenant_id, platform_channel_id, name, type) "
            "SELECT id, %s, 'general', 0 FROM tenants",
            (CHANNEL,),
        )
        session.execute(
            "INSERT INTO messages (channel_id, platform_message_id, tenant_id, content, type, "
            "platform_created_at, metadata, raw) "
            "SELECT c.id, n, c.tenant_id, 'line ' || n, 0, now(), '{}', '{}' "
            "FROM channels c, generate_series(1, 3) n"
        )


@pytest.mark.usefixtures("takaro")
def test_stdout_has_a_line_for_each_message_and_nothing_else(run):
    lines = run(*EXPORT).stdout.splitlines()

    assert [json.loads(line)["content"] for line in lines] == ["line 1", "line 2", "line 3"]


@pytest.mark.usefixtures("takaro")
def test_a_file_appears_whole_and_alone(run, tmp_path):
    target = tmp_path / "out" / "takaro.jsonl"
    target.parent.mkdir()

    result = run(*EXPORT, "--output", str(target))

    assert result.exit_code == 0, result.stderr
    assert f"3 messages written to {target}" in result.stderr
    assert len(target.read_text().splitlines()) == 3
    assert list(target.parent.iterdir()) == [target]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.usefixtures("takaro")
def test_an_unknown_tenant_leaves_an_earlier_file_alone(run, tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_text("earlier")

    result = run("export", "--tenant", "nobody", "--format", "jsonl", "--output", str(target))

    assert result.exit_code == 2
    assert target.read_text() == "earlier"
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


@pytest.mark.usefixtures("takaro")
@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("absent/out.jsonl", "No such file or directory"),
        (".", "is a directory"),
        ("x" * 300, "too long"),
    ],
)
def test_a_place_that_cannot_be_written_exits_2(run, tmp_path, output, sentence):
    result = run(*EXPORT, "--output", str(tmp_path / output))

    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this platform")  # noqa: PTH110
@pytest.mark.usefixtures("takaro")
def test_a_full_disk_is_a_sentence_and_exit_1(run):
    result = run(*EXPORT, "--output", "/dev/full")

    assert result.exit_code == 1
    assert "No space left on device" in result.stderr


@pytest.mark.usefixtures("takaro")
def test_a_reader_that_leaves_is_met_with_silence():
    program = [sys.executable, "-m", "raysync", *EXPORT]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()

    assert said == b""


@pytest.mark.usefixtures("takaro")
def test_an_unknown_format_exits_2(run):
    assert run("export", "--tenant", "takaro", "--format", "xml").exit_code == 2


def test_the_archive_of_a_tenant_never_synced_is_empty_and_says_so(run, with_database):
    run("tenant", "add", "takaro", "--guild", "5", "--token-env", "T")

    result = run("export", "--tenant", "takaro")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "The archive of takaro is empty" in result.stderr
    assert "start --tenant takaro" in result.stderr


@pytest.mark.usefixtures("takaro")
def test_json_lines_are_the_default_format(run):
    assert run("export", "--tenant", "takaro").stdout == run(*EXPORT).stdout
