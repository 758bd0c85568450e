"""Fields and steps that all acts on a tenant's privacy share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raysync.credentials import another_key, key_mark, secret_key, tenant_key
from raysync.errors import JobRunningError
from raysync.models.audit import AuditAction
from raysync.models.entities import Tenant
from raysync.models.privacy import Elsewhere
from raysync.settings import Settings
from raysync.store.archive.ranges import Progress
from raysync.store.connection.audit import AuditLog, Note
from raysync.store.connection.audit import entry as audit_entry
from raysync.store.connection.engine import Engine
from raysync.store.jobs.lease import JobLease
from raysync.store.privacy.key_checks import KeyChecks
from raysync.store.privacy.stored_files import places


@dataclass(frozen=True, slots=True)
class TenantWork:
    """Work on one tenant's privacy.

    *actor* is the operator, for the audit log. *progress* is called after each transaction with
    the number of messages that it completed.
    """

    engine: Engine
    tenant: Tenant
    actor: str
    progress: Progress = lambda _: None

    async def _key(self, settings: Settings) -> bytes:
        """Return the tenant's pseudonym key. Raises ConfigurationError if its mark differs."""
        secret, tenant = secret_key(settings), self.tenant
        marks = {tenant.id: key_mark(secret, tenant.guild_id)}
        if await KeyChecks(self.engine).differing(marks):
            raise another_key(tenant.slug)
        return tenant_key(secret, tenant.guild_id)

    def _while_held(self, lease: JobLease) -> Callable[[int], None]:
        """Return a progress callback that ends the work once the lease is lost."""

        def report(messages: int) -> None:
            if lease.lost.is_set():
                raise JobRunningError(
                    "The database connection that held the tenant broke. Completed work is kept: "
                    "run the same command again to continue."
                )
            self.progress(messages)

        return report

    async def _places(self, elsewhere: Elsewhere) -> set[str]:
        """Return the URLs of the tenant's attachments, changed by *elsewhere*."""
        known = await places(self.engine, self.tenant.id)
        return (known | elsewhere.more) - elsewhere.without

    def _entry(self, action: AuditAction, **details: object) -> Note:
        return audit_entry(self.actor, action, self.tenant.slug, details)

    async def _audit(self, action: AuditAction, **details: object) -> None:
        await AuditLog(self.engine).record(self.actor, action, self.tenant.slug, details)
