"""The database's URL: what libpq reads in what is printed, and what is refused at once."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from raysync.errors import ConfigurationError
from raysync.store.connection.engine import normalize_url, url_for_others, where_is
from raysync.store.connection.sessions import connect_keywords, embedded_address

ODD = "a b+c %25 % ' \" \\ $(id) ` # ? & = ; : / @ ü 漢"
_TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize("folder", ["/plain", f"/home/{ODD}/x", "/a+b", "/a%20b", '/"q"'])
def test_the_embedded_url_is_read_alike_by_libpq_and_by_sqlalchemy(folder: str) -> None:
    url = embedded_address(f"postgresql://{quote(ODD, safe='')}@/raysync?host={quote(folder)}")

    printed = url_for_others(normalize_url(url))

    assert conninfo_to_dict(printed) == {"user": ODD, "dbname": "raysync", "host": folder}
    assert make_url(printed).query["host"] == folder
    assert not set(printed) & set(" \"'`$\\")


@given(user=_TEXTS, password=_TEXTS, database=_TEXTS, application=_TEXTS)
def test_whatever_a_users_url_holds_libpq_reads_the_same(
    user: str, password: str, database: str, application: str
) -> None:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    url = (
        f"postgresql://{login}@h:5433/{quote(database, safe='')}"
        f"?sslmode=disable&application_name={quote(application, safe='')}"
    )

    normal = normalize_url(url)

    assert normalize_url(normal) == normal
    assert conninfo_to_dict(url_for_others(normal)) == {
        "user": user,
        "password": password,
        "host": "h",
        "port": "5433",
        "dbname": database,
        "sslmode": "disable",
        "application_name": application,
    }
    assert connect_keywords(make_url(normal))["password"] == password


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("postgresql://u:p@[::1]:5432/d", "::1"),
        ("postgresql://u:p@%2Fvar%2Frun/d", "/var/run"),
        ("postgresql:///d?host=a&host=b", "a,b"),
        ("postgresql://me@corp:50%@h/d", "h"),
    ],
)
def test_each_spelling_of_a_host_comes_out_as_libpq_reads_it(url: str, host: str) -> None:
    assert conninfo_to_dict(url_for_others(url))["host"] == host
    assert f"d at {host}" in where_is(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:hunter@2/w#rd@h/db", "percent-encoded"),
        ("postgresql://u:hunter@2@h/db", "percent-encoded"),
        ("postgresql://u:@hunter2@h/db", "percent-encoded"),
        ("postgresql://u:x@hunter2:x@h/db", "percent-encoded"),
        ("postgresql://u:x@h?hunter2@h/db", "percent-encoded"),
        ("postgresql://u:x@h?hunter2=1@h/db", "percent-encoded"),
        ("postgresql://u/hunter2:x@h/db", "percent-encoded"),
        ("postgresql://u:hunter2@h/db?sslmod=require", "'sslmod'. Did you mean sslmode?"),
        ("postgresql://u:hunter2@h/db?autocommit=1", "'autocommit'"),
        ("postgresql://u:hunter2@h/db?sslmode", "'sslmode' has no value"),
        ("postgresql://u:hunter2@h:54x/db", "port must be a number"),
        ("postgresql://u:hunter2@h:99999/db", "port must be a number"),
        ("postgresql://u:hunter2@h:0/db", "port must be a number"),
        ("postgresql://u:hunter2@h/db?port=five", "port must be a number"),
        ("mysql://u:hunter2@h/db", "not mysql://"),
        ("http://hunter2", "not http://"),
        ("hunter2", "cannot be read"),
        ("u:hunter2@h/db", "cannot be read"),
        ("postgresql://u:hunter2%00@h/db", "cannot be read"),
        ("postgresql://u:hunter2%FF@h/db", "cannot be read"),
        ("postgresql://u:hunter2\udcff@h/db", "cannot be read"),
    ],
)
def test_a_url_that_is_misread_is_refused_and_not_repeated(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        normalize_url(url)

    assert said in str(caught.value)
    assert "hunter" not in str(caught.value)
