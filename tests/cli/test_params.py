"""What users type as option values."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from raysync.cli import params

TOKEN = "MTA0NzE0OTk1NDM2NzE5MzA4OA.GQwW1x.R3yJ8vTn2kq0cZbXy7uWm4sLhPdEfAoIg9NtKj"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0", timedelta(0), id="zero-needs-no-unit"),
        pytest.param("45s", timedelta(seconds=45), id="seconds"),
        pytest.param("30m", timedelta(minutes=30), id="minutes"),
        pytest.param("12h", timedelta(hours=12), id="hours"),
        pytest.param("7d", timedelta(days=7), id="days"),
        pytest.param(" 2W ", timedelta(weeks=2), id="spaces-and-capitals"),
    ],
)
def test_duration_is_a_number_and_a_unit(text, expected):
    assert expected == params.duration(text)


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "7 d", "7y", "٣d", "36526d"])
def test_duration_refuses_all_else(text):
    with pytest.raises(typer.BadParameter):
        params.duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC), id="date-alone"),
        pytest.param("2026-01-31T18:00", datetime(2026, 1, 31, 18, tzinfo=UTC), id="naive-is-utc"),
        pytest.param("2026-01-31T18:00Z", datetime(2026, 1, 31, 18, tzinfo=UTC), id="zulu"),
        pytest.param(
            "2026-01-31 18:00+02:00", datetime(2026, 1, 31, 16, tzinfo=UTC), id="offset-converted"
        ),
    ],
)
def test_moment_is_iso_in_utc(text, expected):
    read = params.moment(text)

    assert (expected, UTC) == (read, read.tzinfo)


@pytest.mark.parametrize("text", ["", "yesterday", "31.01.2026", "0001-01-01T00:00+14:00"])
def test_moment_refuses_all_else(text):
    with pytest.raises(typer.BadParameter):
        params.moment(text)


@pytest.mark.parametrize("text", ["", "0", "-5", "general", "12a", "²", "9" * 30, TOKEN])
def test_snowflake_refuses_what_is_no_id(text):
    with pytest.raises(typer.BadParameter):
        params.snowflake(text)


@pytest.mark.parametrize("text", ["u_nosuchuser", "bob", ""])
def test_person_refuses_what_is_neither_an_id_nor_a_pseudonym(text):
    with pytest.raises(typer.BadParameter, match=r"neither a Discord id.*nor a pseudonym"):
        params.person(text)


def test_snowflake_reads_an_id():
    assert params.snowflake(" 123456789012345678 ") == 123456789012345678


@pytest.mark.parametrize("parse", [params.variable_name, params.token_file, params.snowflake])
def test_a_pasted_token_is_refused_and_not_repeated(parse):
    with pytest.raises(typer.BadParameter) as refusal:
        parse(TOKEN)

    assert TOKEN[:20] not in refusal.value.message


@pytest.mark.parametrize("text", ["", "1A", "A-B", "A B", "A=b", "Ä"])
def test_variable_name_refuses_what_no_shell_can_set(text):
    with pytest.raises(typer.BadParameter):
        params.variable_name(text)


def test_token_file_is_kept_absolute(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("t")
    monkeypatch.chdir(tmp_path)

    assert params.token_file("token") == tmp_path / "token"


def test_token_file_must_be_a_file(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(typer.BadParameter):
            params.token_file(path)


@given(st.text() | st.from_regex(r"[0-9]{0,12}[a-z ]{0,2}"))
def test_duration_is_read_or_refused_whatever_comes(text):
    try:
        length = params.duration(text)
    except typer.BadParameter:
        return
    assert timedelta(0) <= length <= timedelta(days=36_525)


@given(st.text() | st.from_regex(r"[0-9+:TZ. -]{0,30}") | st.datetimes().map(str))
def test_moment_is_read_or_refused_whatever_comes(text):
    try:
        read = params.moment(text)
    except typer.BadParameter:
        return
    assert read.utcoffset() == timedelta(0)


@given(st.text() | st.integers().map(str))
def test_snowflake_is_read_or_refused_whatever_comes(text):
    try:
        read = params.snowflake(text)
    except typer.BadParameter:
        return
    assert 0 < read < 1 << 63


@given(st.text() | st.from_regex(r"[./~A-Za-z]{0,20}"))
def test_token_file_is_read_or_refused_whatever_comes(text):
    try:
        path = params.token_file(text)
    except typer.BadParameter:
        return
    assert Path(path).is_absolute()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("1000", 1000, id="bytes"),
        pytest.param("25MB", 25_000_000, id="megabytes"),
        pytest.param(" 1.5 gb ", 1_500_000_000, id="spaces-fractions-and-small-letters"),
        pytest.param("500kB", 500_000, id="kilobytes"),
    ],
)
def test_size_is_a_number_and_a_unit(text, expected):
    assert params.size(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1TB", "1,5MB", "٣MB", "1e3"])
def test_size_refuses_all_else(text):
    with pytest.raises(typer.BadParameter):
        params.size(text)


@pytest.mark.parametrize("text", ["image/*", "text/plain", "Application/X-7z-compressed"])
def test_a_media_type_may_end_in_a_star(text):
    assert params.media_type(text) == text.lower()


@pytest.mark.parametrize("text", ["", "image", "*/png", "image/%", "image/png; charset=x"])
def test_a_media_type_is_nothing_else(text):
    with pytest.raises(typer.BadParameter):
        params.media_type(text)


@given(st.text())
def test_any_text_for_a_size_or_a_type_is_read_or_refused(text):
    for read in (params.size, params.media_type):
        with contextlib.suppress(typer.BadParameter):
            read(text)


def test_a_folder_becomes_absolute_and_an_address_stays_as_it_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    assert params.folder_or_url("files") == str(tmp_path / "files")
    assert params.folder_or_url("s3://bucket/path") == "s3://bucket/path"
    with pytest.raises(typer.BadParameter):
        params.folder_or_url(" ")
