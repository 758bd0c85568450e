"""Privileges of database roles: analysts, who see one tenant, and workers, who run syncs.

Row-level security is on for every table, and the tables' owner is exempt. An *analyst* reads the
rows of the tenant that `tenant_roles` binds it to. A *worker* reads and writes the rows of all
tenants, as far as runs need. Its policy is `true`, which the planner drops, so it costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from psycopg import sql

WORKER_POLICY: Final = "worker"
READ_SCHEMAS: Final = ("public", "analytics")

WORKERS: Final[Mapping[str, str]] = {
    "alembic_version": "SELECT",
    "tenants": "SELECT",
    "channels": "SELECT, INSERT, UPDATE",
    "thread_listings": "SELECT, INSERT, UPDATE, DELETE",
    "messages": "SELECT, INSERT, UPDATE, DELETE",
    "message_versions": "SELECT, INSERT, UPDATE, DELETE",
    "message_emoji_reactions": "SELECT, INSERT, UPDATE, DELETE",
    "message_attachments": "SELECT, INSERT, UPDATE, DELETE",
    "suppressions": "SELECT",
    "erased_messages": "SELECT, INSERT",
    "pseudonym_generations": "SELECT",
    "scrubbings": "SELECT",
    "key_checks": "SELECT",
    "sync_progress": "SELECT, INSERT, UPDATE",
    "sync_jobs": "SELECT, INSERT, UPDATE",
    "channel_sync_jobs": "SELECT, INSERT, UPDATE",
    "dead_letters": "SELECT, INSERT, UPDATE",
    "job_api_calls": "SELECT, INSERT, UPDATE, DELETE",
    "job_samples": "SELECT, INSERT, UPDATE, DELETE",
    "rate_limits": "SELECT, INSERT, UPDATE",
    "token_shares": "SELECT, INSERT, UPDATE, DELETE",
    "gateway_sessions": "SELECT, INSERT, UPDATE",
    "gateway_identifies": "SELECT, INSERT, DELETE",
    "tenant_listening": "SELECT, INSERT, UPDATE",
    "live_deletions": "SELECT, INSERT, UPDATE, DELETE",
    "gateway_doubts": "SELECT, INSERT, UPDATE, DELETE",
    "server_life": "SELECT, INSERT",
    "locks": "SELECT, INSERT, UPDATE",
    "audit_log": "SELECT, INSERT",
}
"""A worker's privileges by table. It adds no tenant and no role, and changes no audit entry.

It may delete messages, because a run ends with a purge of what is past retention.
"""
WORKER_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    # the database itself writes an entry's time and role
    "audit_log": ("actor", "action", "tenant", "details"),
}
"""Columns that a worker may insert, by table. Tables not listed: all columns."""

ANALYSTS: Final[Mapping[str, tuple[str, ...]]] = {
    # no analyst reads where the token is, or the sealed token
    "tenants": ("id", "slug", "name", "status", "platform", "platform_id", "privacy"),
    "tenant_roles": (),
    "channels": (),
    "thread_listings": (),
    "messages": (),
    "message_versions": (),
    "message_emoji_reactions": (),
    "message_attachments": (),
    "sync_progress": (),
    "sync_jobs": (),
    "channel_sync_jobs": (),
    "dead_letters": (),
    "job_api_calls": (),
    "job_samples": (),
    "tenant_listening": (),
    "live_deletions": (),
    "gateway_doubts": (),
    "locks": ("tenant_id", "taken_at", "renewed_at", "expires_at"),
}
"""Columns that an analyst may read, by table. An empty list: all columns."""

ANALYST_CONNECTIONS: Final = 10
ANALYST_TIMEOUT_S: Final = 600

_UNPROTECTED: Final = frozenset({"alembic_version"})  # Alembic's own, with the revision only


def worker_grants(role: str) -> list[str]:
    """Return the statements that let *role* run syncs."""
    to = sql.Identifier(role)
    grants = [
        sql.SQL("GRANT {} ON public.{} TO {}").format(_rights(table), sql.Identifier(table), to)
        for table in WORKERS
    ]
    usage = sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(to)
    return _texts([_taken_back(to), usage, *grants])


def worker_policies(roles: Iterable[str]) -> list[str]:
    """Return the statements that show all rows to *roles*, and to no other workers."""
    to = sql.SQL(", ").join(map(sql.Identifier, sorted(roles)))
    made: list[sql.Composable] = []
    for table in (name for name in WORKERS if name not in _UNPROTECTED):
        names = {"policy": sql.Identifier(WORKER_POLICY), "table": sql.Identifier(table)}
        made.append(sql.SQL("DROP POLICY IF EXISTS {policy} ON public.{table}").format(**names))
        if to.as_string():
            policy = sql.SQL(
                "CREATE POLICY {policy} ON public.{table} TO {to} USING (true) WITH CHECK (true)"
            )
            made.append(policy.format(**names, to=to))
    return _texts(made)


def analyst_grants(role: str) -> list[str]:
    """Return the statements that let *role* read the rows that row-level security shows it."""
    to = sql.Identifier(role)
    made: list[sql.Composable] = [
        _taken_back(to),
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(_names(READ_SCHEMAS), to),
        sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO {}").format(to),
    ]
    for table, columns in ANALYSTS.items():
        listed = sql.SQL(" ({})").format(_names(columns)) if columns else sql.SQL("")
        grant = sql.SQL("GRANT SELECT{} ON public.{} TO {}")
        made.append(grant.format(listed, sql.Identifier(table), to))
    return _texts(made)


def revocations(role: str) -> list[str]:
    """Return the statements that revoke every privilege of *role*."""
    of = sql.Identifier(role)
    schemas = _names(READ_SCHEMAS)
    return _texts(
        [
            sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(schemas, of),
            sql.SQL("REVOKE USAGE ON SCHEMA {} FROM {}").format(schemas, of),
        ]
    )


def login_role(role: str) -> str:
    """Return the statement that creates *role*, without a password."""
    return sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)).as_string()


def analyst_limits(role: str) -> list[str]:
    """Return the statements that limit the load of a new *role*.

    The role can change its timeouts, but not its number of connections.
    """
    name = sql.Identifier(role)
    set_timeout = sql.SQL("ALTER ROLE {} SET {} = {}")
    timeouts = ("statement_timeout", "idle_in_transaction_session_timeout")
    return _texts(
        [
            sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(name, ANALYST_CONNECTIONS),
            *(
                set_timeout.format(name, sql.Identifier(setting), f"{ANALYST_TIMEOUT_S}s")
                for setting in timeouts
            ),
        ]
    )


def _rights(table: str) -> sql.SQL | sql.Composed:
    columns = WORKER_COLUMNS.get(table)
    if columns is None:
        return sql.SQL(WORKERS[table])
    before, after = WORKERS[table].split("INSERT")
    return sql.SQL("{}INSERT ({}){}").format(sql.SQL(before), _names(columns), sql.SQL(after))


def _taken_back(role: sql.Identifier) -> sql.Composed:
    """Return the statement that revokes all that any version granted on tables."""
    return sql.SQL("REVOKE ALL ON {} FROM {}").format(_names({*WORKERS, *ANALYSTS}), role)


def _names(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, sorted(names)))


def _texts(statements: Iterable[sql.Composable]) -> list[str]:
    return [statement.as_string() for statement in statements]
