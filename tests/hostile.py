"""Database with the worst possible presets of database, role and environment.

All of them are legitimate: administrators preset roles and databases, users their shells.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from sqlalchemy import make_url

PRESETS: Final = {
    "client_encoding": "LATIN1",
    "search_path": "decoy, public",
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "gin_fuzzy_search_limit": "1",
    "client_min_messages": "debug1",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "statement_timeout": "40ms",
    "lock_timeout": "1ms",
    "transaction_timeout": "80ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "400ms",
    "row_security": "off",
    "exit_on_error": "on",
    "session_replication_role": "replica",
    "synchronous_commit": "off",
    "plan_cache_mode": "force_custom_plan",
    "jit": "on",
    "jit_above_cost": "0",
    "geqo_threshold": "2",
    "join_collapse_limit": "1",
    "from_collapse_limit": "1",
    "work_mem": "64kB",
    **dict.fromkeys(
        (
            "enable_bitmapscan",
            "enable_hashagg",
            "enable_hashjoin",
            "enable_indexonlyscan",
            "enable_indexscan",
            "enable_material",
            "enable_memoize",
            "enable_mergejoin",
            "enable_nestloop",
            "enable_seqscan",
            "enable_sort",
            "enable_tidscan",
        ),
        "off",
    ),
}
ENVIRONMENT: Final = {
    "PGCLIENTENCODING": "LATIN1",
    "PGTZ": "America/Caracas",
    "PGDATESTYLE": "German",
    "PGGEQO": "off",
    "PGAPPNAME": "another program",
    "PGOPTIONS": "-c extra_float_digits=-15 -c search_path=decoy -c IntervalStyle=iso_8601",
}
"""Variables of libpq, as a user may have set them for another server."""

_SINCE: Final = {"transaction_timeout": 17_00_00}
_DECOYS: Final = ("alembic_version", "tenants", "messages", "sync_progress", "locks", "audit_log")


def hostile_role(server_url: str) -> str:
    """Create a superuser with hostile presets in every database, and return its name."""
    name = f"role_owner_{uuid.uuid4().hex[:12]}"
    role = sql.Identifier(name)
    with psycopg.connect(server_url, autocommit=True) as session:
        session.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER").format(role))
        preset = sql.SQL("ALTER ROLE {} SET {} = {}")
        for setting, value in _presets_of(session.info.server_version).items():
            session.execute(preset.format(role, sql.Identifier(setting), value))
        session.execute(sql.SQL("ALTER ROLE {} SET search_path = decoy").format(role))
    return name


def _presets_of(server_version: int) -> dict[str, str]:
    return {name: value for name, value in PRESETS.items() if server_version >= _SINCE.get(name, 0)}


def plain_session(url: str) -> psycopg.Connection[TupleRow]:
    """Open a session that is unaffected by `ENVIRONMENT`. The caller closes it."""
    session = psycopg.connect(url, autocommit=True, client_encoding="UTF8")
    session.execute("SET DateStyle = ISO")
    return session


@contextmanager
def hostile_database(server_url: str, encoding: str = "UTF8") -> Iterator[str]:
    """Create an empty database with hostile presets, and yield its URL."""
    unique = uuid.uuid4().hex
    database, role = sql.Identifier(f"test_{unique}"), sql.Identifier(f"role_owner_{unique[:12]}")
    url = make_url(server_url).set(database=f"test_{unique}", username=f"role_owner_{unique[:12]}")
    with psycopg.connect(server_url, autocommit=True) as session:
        session.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER").format(role))
        session.execute(
            sql.SQL(
                "CREATE DATABASE {} OWNER {} ENCODING {} TEMPLATE template0"
                " LOCALE_PROVIDER libc LOCALE 'C'"
            ).format(database, role, encoding)
        )
        try:
            with psycopg.connect(url.render_as_string(hide_password=False)) as owner:
                owner.execute("CREATE SCHEMA decoy")
                for name in _DECOYS:
                    decoy = sql.Identifier(name)
                    owner.execute(sql.SQL("CREATE TABLE decoy.{} (version_num text)").format(decoy))
                owner.execute("INSERT INTO decoy.alembic_version VALUES ('099_from_elsewhere')")
            presets = _presets_of(session.info.server_version)
            for number, (name, value) in enumerate(presets.items()):
                target = sql.SQL("DATABASE {}").format(database)
                if number % 2:
                    target = sql.SQL("ROLE {} IN DATABASE {}").format(role, database)
                session.execute(
                    sql.SQL("ALTER {} SET {} = {}").format(target, sql.Identifier(name), value)
                    if name != "search_path"
                    else sql.SQL("ALTER {} SET search_path = decoy, public").format(target)
                )
            yield url.render_as_string(hide_password=False)
        finally:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
            session.execute(sql.SQL("DROP ROLE {}").format(role))
