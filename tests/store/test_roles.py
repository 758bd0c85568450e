"""Who may do what: every role, every table, every action, as the server itself answers."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ConfigurationError
from raysync.models.entities import Attachment, Reaction, Tenant
from raysync.models.ids import GuildId
from raysync.models.status import SyncType
from raysync.models.work import SyncWindow
from raysync.privacy import TenantPrivacy
from raysync.run.keys import RunKeys
from raysync.settings import Settings
from raysync.store.archive.pages import PostgresPages
from raysync.store.connection.audit import AuditLog
from raysync.store.connection.engine import connect_keywords, open_engine
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.schema.tables import metadata
from raysync.store.server import migrate
from raysync.store.server.privileges import ANALYSTS, WORKERS
from raysync.store.server.roles import RoleStore, renew_grants
from raysync.store.tenants import TenantStore
from tests.store.rows import add_channel, add_tenant, message, page, task

ACTIONS = ("SELECT", "INSERT", "UPDATE", "DELETE")
NOBODYS = {"audit_log", "rate_limits", "token_shares", "server_life"}
NOBODYS |= {"gateway_sessions", "gateway_identifies"}
NOBODYS |= {"suppressions", "erased_messages", "pseudonym_generations", "key_checks", "scrubbings"}
"""Tables that hold no single tenant's data, name operators, or tell who was forgotten."""
DOCS = Path(__file__).parents[2] / "docs" / "security.md"

_TABLES = """
SELECT relname::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""
_UNGUARDED = """
SELECT relname::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relrowsecurity
"""
_GUARDED = "SELECT tablename::text FROM pg_policies WHERE policyname = 'tenant' AND cmd = 'SELECT'"
_TENANTS_OF = {
    "tenants": "id",
    "job_api_calls": "(SELECT tenant_id FROM sync_jobs j WHERE j.id = job_id)",
    **dict.fromkeys(
        (
            "message_versions",
            "message_emoji_reactions",
            "message_attachments",
            "thread_listings",
            "live_deletions",
            "gateway_doubts",
        ),
        "(SELECT tenant_id FROM channels c WHERE c.id = channel_id)",
    ),
}
_FILLED = """
INSERT INTO thread_listings (channel_id, is_private, archived_until)
    SELECT id, false, now() FROM channels;
INSERT INTO channel_sync_jobs (tenant_id, channel_id, parent_job_id)
    SELECT c.tenant_id, c.id, j.id FROM channels c JOIN sync_jobs j USING (tenant_id);
INSERT INTO dead_letters (
    tenant_id, channel_id, channel_sync_job_id, failure_class, error_class, message, attempts)
    SELECT tenant_id, channel_id, id, 'permanent', 'E', 'm', 1 FROM channel_sync_jobs;
INSERT INTO job_api_calls (job_id, worker_id, route, calls) SELECT id, 'w', 'r', 1 FROM sync_jobs;
INSERT INTO rate_limits (route, bucket, "limit", window_s) VALUES ('r', 'b', 1, 1);
INSERT INTO token_shares (fingerprint, governor, requested, granted, expires_at)
    VALUES ('f', 'g', 1, 1, now());
INSERT INTO job_samples (job_id, slot_s, tenant_id, taken_at, messages, requests,
    rate_limit_encounters)
SELECT id, 0, tenant_id, now(), 0, 0, 0 FROM sync_jobs;
INSERT INTO gateway_sessions (fingerprint, shard, shards) VALUES ('f', 0, 1);
INSERT INTO gateway_identifies (fingerprint) VALUES ('f');
INSERT INTO tenant_listening (tenant_id) SELECT id FROM tenants;
INSERT INTO live_deletions (channel_id, platform_message_id) SELECT id, 1 FROM channels;
INSERT INTO gateway_doubts (channel_id, platform_message_id) SELECT id, 1 FROM channels;
"""


@dataclass(frozen=True, slots=True)
class Peopled:
    """A database with two tenants' data in every table, an analyst of the first, and a worker."""

    url: str
    engine: AsyncEngine
    tenant: Tenant
    other: Tenant
    analyst: str
    worker: str

    def session(self, role: str | None = None) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(as_role(self.url, role) if role else self.url, autocommit=True)


def as_role(url: str, role: str) -> str:
    return make_url(url).set(username=role).render_as_string(hide_password=False)


@pytest.fixture
def names() -> Iterator[tuple[str, str]]:
    unique = uuid.uuid4().hex[:12]
    return f"role_analyst_{unique}", f"role_worker_{unique}"


@pytest.fixture
async def peopled(
    engine: AsyncEngine, database_url: str, names: tuple[str, str]
) -> AsyncIterator[Peopled]:
    tenant, other = await _fill(engine, "takaro", 1), await _fill(engine, "other", 2)
    with psycopg.connect(database_url) as session:
        session.execute(_FILLED)
    analyst, worker = names
    roles = RoleStore(engine)
    assert (await roles.grant_analyst(analyst, tenant)).created
    assert (await roles.grant_worker(worker)).created
    return Peopled(database_url, engine, tenant, other, analyst, worker)


async def _fill(engine: AsyncEngine, slug: str, guild: int) -> Tenant:
    tenant = await add_tenant(engine, slug, GuildId(guild))
    pages = PostgresPages(engine)
    claim = await pages.claim(task(tenant.id, await add_channel(engine, tenant.id)), "w1")
    assert claim is not None
    parts = {
        "reactions": (Reaction("👍", 1, 0),),
        "attachments": (Attachment(1, "a.png", 9, "image/png", "https://cdn/a"),),
    }
    await pages.save_page(claim, page(message(10, f"said in {slug}", **parts)))
    await pages.save_page(claim, page(message(10, f"said better in {slug}", **parts)))
    async with JobStore(engine).lease(tenant.id):
        await JobStore(engine).begin(tenant.id, SyncWindow(SyncType.FULL))
    await AuditLog(engine).record("me", "looked", slug)
    return tenant


def attempt(session: psycopg.Connection[Any], table: str, action: str) -> bool:
    """Whether the server lets the role do it, and then what it did is undone."""
    name = sql.Identifier(table)
    statement = {
        "SELECT": sql.SQL("SELECT count(*) FROM {}"),
        "INSERT": sql.SQL("INSERT INTO {} DEFAULT VALUES"),
        "UPDATE": sql.SQL("UPDATE {} SET {} = {}"),
        "DELETE": sql.SQL("DELETE FROM {}"),
    }[action]
    column = sql.Identifier(
        next((each.name for each in metadata.tables[table].columns if each.name != "id"), "id")
        if table in metadata.tables
        else "version_num"
    )
    arguments = [name, column, column] if action == "UPDATE" else [name]
    try:
        with session.transaction(force_rollback=True):
            session.execute(statement.format(*arguments))
    except psycopg.errors.InsufficientPrivilege:
        return False
    except (psycopg.errors.IntegrityError, psycopg.errors.RaiseException):
        return True  # it may, and this row is none
    return True


def matrix(peopled: Peopled) -> dict[tuple[str, str], str]:
    """By role and table: the actions that the server allows."""
    with peopled.session() as owner:
        tables = sorted(name for (name,) in owner.execute(_TABLES))
    found = {}
    for role, name in (("analyst", peopled.analyst), ("worker", peopled.worker)):
        with peopled.session(name) as session:
            for table in tables:
                allowed = [each for each in ACTIONS if attempt(session, table, each)]
                found[role, table] = ", ".join(allowed)
    return found


def expected() -> dict[tuple[str, str], str]:
    # of tenants not every column, so that `count(*)` is refused there only to whoever has none
    analysts = {("analyst", table): "SELECT" if table in ANALYSTS else "" for table in WORKERS}
    analysts["analyst", "tenant_roles"] = "SELECT"
    workers = {("worker", table): allowed for table, allowed in WORKERS.items()}
    workers["worker", "tenant_roles"] = ""
    return analysts | workers


async def test_every_role_may_do_to_every_table_what_is_said_and_nothing_else(
    peopled: Peopled,
) -> None:
    assert matrix(peopled) == expected()


async def test_the_table_in_the_docs_is_what_the_server_does(peopled: Peopled) -> None:
    found = matrix(peopled)
    rows = [
        f"| `{table}` | {found['analyst', table] or '–'} | {found['worker', table] or '–'} |"
        for table in sorted({table for _, table in found})
    ]
    said = re.findall(r"^\| `\w+` \|.*\|$", DOCS.read_text(), re.MULTILINE)

    assert said == rows, "\n".join(rows)


async def test_an_analyst_sees_its_tenant_and_no_other_in_every_table(peopled: Peopled) -> None:
    with peopled.session() as owner, peopled.session(peopled.analyst) as analyst:
        guarded = {name for (name,) in owner.execute(_GUARDED)}
        for table in guarded - {"tenant_roles"}:
            whose = sql.SQL(_TENANTS_OF.get(table, "tenant_id"))  # type: ignore[arg-type]
            query = sql.SQL("SELECT DISTINCT {} FROM {}").format(whose, sql.Identifier(table))
            there = {each for (each,) in owner.execute(query)}
            seen = {each for (each,) in analyst.execute(query)}

            assert there == {peopled.tenant.id, peopled.other.id}, table
            assert seen == {peopled.tenant.id}, table


async def test_a_table_without_a_policy_is_noticed(peopled: Peopled) -> None:
    """Of the catalogue, not of a list: a table that somebody adds later fails here."""
    with peopled.session() as owner:
        tables = {name for (name,) in owner.execute(_TABLES)}
        unguarded = {name for (name,) in owner.execute(_UNGUARDED)}
        guarded = {name for (name,) in owner.execute(_GUARDED)}

    assert unguarded == {"alembic_version"}
    assert guarded == tables - NOBODYS - unguarded
    assert set(ANALYSTS) == guarded
    assert set(WORKERS) == tables - {"tenant_roles"}


async def test_views_for_analysts_show_one_tenant_and_not_as_their_owner(peopled: Peopled) -> None:
    with peopled.session() as owner, peopled.session(peopled.analyst) as analyst:
        views = owner.execute(
            "SELECT relname::text, coalesce(reloptions::text, '') FROM pg_class"
            " WHERE relnamespace = 'analytics'::regnamespace AND relkind = 'v'"
        ).fetchall()
        assert {name for name, _ in views} >= {"messages", "channels", "reactions", "attachments"}
        for name, options in views:
            assert "security_invoker=true" in options, name
            query = sql.SQL("SELECT DISTINCT tenant FROM analytics.{}").format(sql.Identifier(name))
            assert {each for (each,) in analyst.execute(query)} <= {"takaro"}, name
        seen = analyst.execute("SELECT tenant, channel, content FROM analytics.messages").fetchall()
        assert seen == [("takaro", "general", "said better in takaro")]


@pytest.mark.parametrize(
    "trick",
    [
        "SELECT token_sealed FROM tenants",
        "SELECT token_ref FROM tenants",
        "SELECT * FROM audit_log",
        "SET row_security = off; SELECT * FROM messages",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION DEFAULT; SET ROLE pg_read_all_data",
        "INSERT INTO tenant_roles SELECT current_user, id FROM tenants",
        "ALTER TABLE messages DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY mine ON messages USING (true)",
        "COPY messages TO PROGRAM 'cat'",
        "CREATE TABLE public.mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "CREATE TEMP VIEW mine AS SELECT 1",
        "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL'",
        "CREATE SCHEMA mine",
        "DO $$ BEGIN LOOP END LOOP; END $$",
        "SELECT lo_create(0)",
        "SELECT lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'filled')",
        "SELECT lo_import('/etc/passwd')",
        "ALTER ROLE CURRENT_USER CONNECTION LIMIT -1",
        "CREATE PUBLICATION mine",
        "SELECT last_value FROM audit_log_id_seq",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> current_user",
        "SELECT * FROM key_checks",
        "INSERT INTO locks (name) VALUES ('tenant/1')",
    ],
)
async def test_an_analyst_has_no_way_around(peopled: Peopled, trick: str) -> None:
    with peopled.session(peopled.analyst) as session, pytest.raises(psycopg.Error) as caught:
        session.execute(trick)  # type: ignore[call-overload]
    assert caught.value.sqlstate in ("42501", "22023"), caught.value


async def test_row_security_costs_a_worker_nothing(peopled: Peopled) -> None:
    """What is planned for it is what is planned for the owner, to the letter."""
    statement = (
        "EXPLAIN (COSTS OFF, VERBOSE) UPDATE messages m SET content = 'x' FROM channels c"
        " WHERE m.channel_id = c.id AND c.platform_channel_id = 7 AND m.platform_message_id = 10"
    )
    with (
        peopled.session() as owner,
        peopled.session(peopled.worker) as worker,
        peopled.session(peopled.analyst) as analyst,
    ):
        planned = owner.execute(statement).fetchall()
        assert worker.execute(statement).fetchall() == planned
        read = "EXPLAIN (COSTS OFF) SELECT content FROM messages"
        assert worker.execute(read).fetchall() == owner.execute(read).fetchall()
        assert analyst.execute(read).fetchall() != owner.execute(read).fetchall()


async def test_what_an_analyst_computes_on_a_row_sees_no_strangers_row(peopled: Peopled) -> None:
    """A function that somebody made is cheap to the planner, which would love to call it early."""
    with peopled.session() as owner:
        owner.execute(
            "CREATE FUNCTION public.peek(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
            " $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
        )
    with peopled.session(peopled.analyst) as session:
        heard: list[str] = []
        session.add_notice_handler(lambda each: heard.append(each.message_primary or ""))
        session.execute("SELECT count(*) FROM messages WHERE peek(content)")
        session.execute("SELECT count(*) FROM message_versions WHERE peek(content)")

    assert heard == ["said better in takaro", "said in takaro"]


async def test_members_of_a_bound_role_see_what_it_sees(peopled: Peopled) -> None:
    member = f"role_member_{uuid.uuid4().hex[:12]}"
    with peopled.session() as owner:
        owner.execute(
            sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(
                sql.Identifier(member), sql.Identifier(peopled.analyst)
            )
        )
    with peopled.session(member) as session:
        assert session.execute("SELECT count(*) FROM messages").fetchone() == (1,)


async def test_a_revoked_analyst_sees_nothing_and_a_removed_tenants_neither(
    peopled: Peopled,
) -> None:
    other = f"role_other_{uuid.uuid4().hex[:12]}"
    await RoleStore(peopled.engine).grant_analyst(other, peopled.other)
    await RoleStore(peopled.engine).revoke_analyst(peopled.analyst, peopled.tenant)
    with peopled.session(peopled.analyst) as session:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT 1 FROM messages")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT 1 FROM analytics.messages")
    with peopled.session() as owner:
        owner.execute("UPDATE sync_jobs SET status = 'failed'")
    await TenantStore(peopled.engine).remove("other")
    with peopled.session(other) as session:
        assert session.execute("SELECT count(*) FROM messages").fetchone() == (0,)


async def test_a_revoked_worker_writes_nothing(peopled: Peopled) -> None:
    second = f"role_worker_{uuid.uuid4().hex[:12]}"
    roles = RoleStore(peopled.engine)
    await roles.grant_worker(second)
    await roles.revoke_worker(peopled.worker)
    with (
        peopled.session(peopled.worker) as session,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        session.execute("SELECT 1 FROM messages")
    with peopled.session(second) as session:
        assert session.execute("SELECT count(*) FROM messages").fetchone() == (2,)
    await roles.revoke_worker(second)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "DROP TABLE audit_log",
        "CREATE TABLE public.mine (a int)",
        "DELETE FROM tenants",
        "INSERT INTO tenant_roles VALUES (current_user, 1)",
        "INSERT INTO audit_log (actor, action, db_role) VALUES ('it', 'looked', 'another')",
        "INSERT INTO audit_log (actor, action, at) VALUES ('it', 'looked', '2020-01-01')",
        "INSERT INTO audit_log (id, actor, action) OVERRIDING SYSTEM VALUE VALUES (1, 'it', 'it')",
        "COPY audit_log (actor, action, db_role) FROM STDIN",
        "INSERT INTO key_checks (tenant_id, mark) SELECT id, 'mine' FROM tenants",
        "DELETE FROM locks",
    ],
)
async def test_a_worker_undoes_no_log_and_changes_no_schema(
    peopled: Peopled, statement: str
) -> None:
    with (
        peopled.session(peopled.worker) as session,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        session.execute(statement)  # type: ignore[call-overload]


async def test_roles_that_nothing_restrains_are_refused(peopled: Peopled) -> None:
    roles, owner = RoleStore(peopled.engine), str(make_url(peopled.url).username)
    mighty = f"role_mighty_{uuid.uuid4().hex[:12]}"
    with peopled.session() as session:
        session.execute(sql.SQL("CREATE ROLE {} BYPASSRLS").format(sql.Identifier(mighty)))
    for name in (owner, mighty):
        with pytest.raises(ConfigurationError, match="so grants cannot restrain it"):
            await roles.grant_analyst(name, peopled.tenant)
        with pytest.raises(ConfigurationError, match="so grants cannot restrain it"):
            await roles.grant_worker(name)
    for name in ("", "public", "pg_monitor", "x" * 64, "a\0b", "a\nb"):
        with pytest.raises(ConfigurationError, match="cannot be a role's name"):
            await roles.grant_worker(name)


async def test_a_role_sees_one_tenant_or_all_and_never_more(peopled: Peopled) -> None:
    roles = RoleStore(peopled.engine)
    with pytest.raises(ConfigurationError, match="bound to the tenant takaro, and a role sees one"):
        await roles.grant_analyst(peopled.analyst, peopled.other)
    with pytest.raises(ConfigurationError, match="is a worker's"):
        await roles.grant_analyst(peopled.worker, peopled.tenant)
    with pytest.raises(ConfigurationError, match="bound to the tenant takaro, and a worker"):
        await roles.grant_worker(peopled.analyst)
    with pytest.raises(ConfigurationError, match="not bound"):
        await roles.revoke_analyst(peopled.analyst, peopled.other)
    with pytest.raises(ConfigurationError, match="is not a worker"):
        await roles.revoke_worker(peopled.analyst)

    assert not (await roles.grant_analyst(peopled.analyst, peopled.tenant)).created


async def test_an_odd_name_is_a_name_and_no_statement(
    engine: AsyncEngine, database_url: str
) -> None:
    odd = f'role_x"; DROP TABLE messages; -- %s {uuid.uuid4().hex[:8]}'
    tenant = await add_tenant(engine)
    await RoleStore(engine).grant_analyst(odd, tenant)
    await RoleStore(engine).revoke_analyst(odd, tenant)
    await RoleStore(engine).grant_worker(odd)

    with psycopg.connect(**{**connect_keywords(make_url(database_url)), "user": odd}) as session:
        assert session.execute("SELECT count(*) FROM messages").fetchone() == (0,)


async def test_what_a_migration_adds_is_granted_to_those_who_have_the_rest(
    peopled: Peopled,
) -> None:
    with peopled.session() as owner:
        owner.execute("DROP POLICY worker ON messages")
        for role in (peopled.analyst, peopled.worker):
            revoke = sql.SQL("REVOKE ALL ON messages FROM {}").format(sql.Identifier(role))
            owner.execute(revoke)
        with owner.transaction():
            renew_grants(owner)
    with peopled.session(peopled.worker) as session:
        assert session.execute("SELECT count(*) FROM messages").fetchone() == (2,)
    with peopled.session(peopled.analyst) as session:
        assert session.execute("SELECT count(*) FROM messages").fetchone() == (1,)


def test_an_upgrade_renews_what_was_granted(database_url: str, names: tuple[str, str]) -> None:
    """A migration that comes later: the step before the last, and then all of them."""
    _, worker = names
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(worker)))
    migrate.downgrade(database_url, migrate.revisions()[-2])
    with psycopg.connect(database_url) as owner:
        owner.execute(
            sql.SQL("CREATE POLICY worker ON rate_limits TO {}").format(sql.Identifier(worker))
        )
    migrate.upgrade(database_url)
    with psycopg.connect(as_role(database_url, worker)) as session:
        assert session.execute("SELECT count(*) FROM messages").fetchone() == (0,)


async def test_the_log_says_which_role_was_connected_whoever_is_named(peopled: Peopled) -> None:
    as_worker = open_engine(
        as_role(peopled.url, peopled.worker), pool_size=1, application_name="tests"
    )
    await AuditLog(as_worker).record("the.owner@elsewhere", "db grant-worker", None, {"role": "x"})
    await as_worker.dispose()
    (entry, earlier, *_) = await AuditLog(peopled.engine).recent()

    assert (entry.actor, entry.db_role) == ("the.owner@elsewhere", peopled.worker)
    assert (earlier.actor, earlier.db_role) == ("me", peopled.engine.url.username)


async def test_a_worker_that_takes_another_role_is_named_by_who_connected(
    peopled: Peopled,
) -> None:
    member = f"role_member_{uuid.uuid4().hex[:12]}"
    with peopled.session() as owner:
        owner.execute(
            sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(
                sql.Identifier(member), sql.Identifier(peopled.worker)
            )
        )
    with peopled.session(member) as session:
        session.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(peopled.worker)))
        session.execute("INSERT INTO audit_log (actor, action) VALUES ('it', 'looked')")
    (entry, *_) = await AuditLog(peopled.engine).recent()

    assert entry.db_role == member


async def test_a_worker_syncs_only_tenants_whose_key_the_owner_has_named(
    peopled: Peopled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could be the one to say under which key everybody else has to sync."""
    monkeypatch.setenv("TOKEN", "a-token")
    settings = Settings(RAYSYNC_DATABASE_URL=peopled.url, RAYSYNC_SECRET_KEY="a key of the tests")
    as_worker = open_engine(
        as_role(peopled.url, peopled.worker), pool_size=2, application_name="tests"
    )
    unnamed = await RunKeys.find(settings, as_worker, [peopled.tenant])
    with pytest.raises(ConfigurationError, match="accept-key --tenant takaro` once"):
        unnamed.require(peopled.tenant)
    with peopled.session() as owner:
        assert owner.execute("SELECT count(*) FROM key_checks").fetchone() == (0,)
        owner.execute("UPDATE sync_jobs SET status = 'failed'")
    assert await TenantPrivacy(peopled.engine, peopled.tenant, "me").accept_key(settings)
    keys = await RunKeys.find(settings, as_worker, [peopled.tenant, peopled.other])
    await as_worker.dispose()

    keys.require(peopled.tenant)
    with pytest.raises(ConfigurationError, match="accept-key --tenant other` once"):
        keys.require(peopled.other)


async def test_a_new_analyst_has_limits_of_which_one_is_for_good(peopled: Peopled) -> None:
    with peopled.session(peopled.analyst) as session:
        shown = session.execute("SHOW statement_timeout").fetchone()
        session.execute("ALTER ROLE CURRENT_USER SET statement_timeout = 0")
        limit = session.execute(
            "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user"
        ).fetchone()

    assert (shown, limit) == (("10min",), (10,))


async def test_what_the_statistics_tell_an_analyst_is_totals_and_no_values(
    peopled: Peopled,
) -> None:
    """Of other tenants' rows, nothing that they say; docs/security.md says what is told."""
    with peopled.session() as owner, peopled.session(peopled.analyst) as analyst:
        owner.execute("ANALYZE")
        values = "SELECT count(*) FROM pg_stats WHERE schemaname = 'public'"
        assert owner.execute(values).fetchone() != (0,)
        assert analyst.execute(values).fetchone() == (0,)
        sizes = "SELECT reltuples FROM pg_class WHERE oid = 'public.messages'::regclass"
        assert analyst.execute(sizes).fetchone() == (2,)
        counted = "SELECT count(*) FROM pg_sequences WHERE last_value IS NOT NULL"
        assert analyst.execute(counted).fetchone() == (0,)
        texts = (
            "SELECT count(*) FROM pg_stat_activity WHERE usename <> current_user"
            " AND query <> '<insufficient privilege>' AND query <> ''"
        )
        assert analyst.execute(texts).fetchone() == (0,)


def _lesser_owner(server_url: str, *, owns_database: bool) -> tuple[str, str]:
    """A database whose tables belong to a role that is no superuser: their URL, and the server's.

    As on servers that somebody else administers.
    """
    role, name = f"role_owner_{uuid.uuid4().hex[:12]}", f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as session:
        session.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(sql.Identifier(role)))
        session.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
        )
        if owns_database:
            session.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                    sql.Identifier(name), sql.Identifier(role)
                )
            )
    admin = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as session:
        if not owns_database:
            session.execute(
                sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
                    sql.Identifier(name), sql.Identifier(role)
                )
            )
            session.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    return as_role(admin, role), admin


@pytest.fixture(params=[True, False], ids=["owns-the-database", "owns-its-tables"])
def lesser(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[tuple[str, str, bool]]:
    url, admin = _lesser_owner(postgres_url, owns_database=request.param)
    migrate.upgrade(url)
    yield url, admin, request.param
    with psycopg.connect(postgres_url, autocommit=True) as session:
        name = sql.Identifier(str(make_url(url).database))
        session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


async def test_what_an_owner_cannot_take_from_all_is_named_with_the_statement_for_it(
    lesser: tuple[str, str, bool], names: tuple[str, str]
) -> None:
    url, admin, owns_database = lesser
    analyst, _ = names
    engine = open_engine(url, pool_size=2, application_name="tests")
    tenant, roles = await add_tenant(engine), RoleStore(engine)
    if not owns_database:  # and whoever may create in public is refused
        with pytest.raises(ConfigurationError, match="REVOKE CREATE ON SCHEMA public FROM PUBLIC"):
            await roles.grant_analyst(analyst, tenant)
        with psycopg.connect(admin, autocommit=True) as session:
            session.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            session.execute(
                sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(
                    sql.Identifier(str(make_url(url).username))
                )
            )
    granted = await roles.grant_analyst(analyst, tenant)
    left = {statement for _, statement in granted.left}

    assert any(each.startswith("REVOKE TEMPORARY") for each in left) != owns_database
    assert any("lo_create" in each for each in left)
    assert {what for _, what, _ in await roles.rights_left()} == {what for what, _ in granted.left}
    with psycopg.connect(admin, autocommit=True) as session:
        for statement in left:
            session.execute(statement.encode())
    assert await roles.rights_left() == []
    await engine.dispose()


async def test_what_others_in_the_database_may_depend_on_is_left_to_them(
    database_url: str, engine: AsyncEngine, names: tuple[str, str]
) -> None:
    analyst, stranger = names[0], f"role_stranger_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as owner:
        name = sql.Identifier(stranger)
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        owner.execute(sql.SQL("CREATE SCHEMA theirs AUTHORIZATION {}").format(name))
        owner.execute("CREATE TABLE theirs.things (a int)")
        owner.execute(sql.SQL("ALTER TABLE theirs.things OWNER TO {}").format(name))
    granted = await RoleStore(engine).grant_analyst(analyst, await add_tenant(engine))
    with psycopg.connect(as_role(database_url, stranger), autocommit=True) as session:
        session.execute("CREATE TEMP TABLE mine (a int)")
        session.execute("DO $$ BEGIN END $$")

    assert {what for what, _ in granted.left} == {
        "make temporary tables and functions",
        "store large objects",
        "run programs in plpgsql",
    }


def test_an_upgrade_brings_roles_of_before_to_what_they_may_do_now(
    empty_database_url: str, names: tuple[str, str]
) -> None:
    analyst, worker = names
    migrate.upgrade(empty_database_url, "014_add_key_checks")
    with psycopg.connect(empty_database_url, autocommit=True) as owner:
        for role in names:
            owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            grant = sql.SQL("GRANT SELECT, INSERT ON audit_log, key_checks, tenants TO {}")
            owner.execute(grant.format(sql.Identifier(role)))
        owner.execute(
            sql.SQL("CREATE POLICY worker ON audit_log TO {} USING (true)").format(
                sql.Identifier(worker)
            )
        )
        owner.execute(
            "INSERT INTO tenants (slug, name, platform_id, token_ref) VALUES ('t', 'T', 1, 'env:T')"
        )
        owner.execute(
            "INSERT INTO tenant_roles (role, tenant_id) SELECT %s, id FROM tenants", (analyst,)
        )
    migrate.upgrade(empty_database_url)
    rights = "SELECT has_table_privilege(%s, %s, %s), has_any_column_privilege(%s, %s, %s)"
    with psycopg.connect(empty_database_url, autocommit=True) as owner:

        def may(role: str, right: str, table: str) -> tuple[bool, bool]:
            asked = (role, table, right) * 2
            row = owner.execute(rights, asked).fetchone()
            assert row is not None
            return row[0], row[1]

        assert may(worker, "INSERT", "key_checks") == (False, False)
        assert may(worker, "INSERT", "audit_log") == (False, True)
        assert may(worker, "UPDATE", "locks") == (True, True)
        assert may(analyst, "SELECT", "audit_log") == (False, False)
        assert may(analyst, "SELECT", "tenants") == (False, True)
        temporary = owner.execute(
            "SELECT has_database_privilege(%s, current_database(), 'TEMPORARY')", (analyst,)
        )
        assert temporary.fetchone() == (False,)
