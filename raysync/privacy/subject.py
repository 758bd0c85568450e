"""Export of all that is kept of one user."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from raysync.errors import ConfigurationError
from raysync.models.audit import AuditAction
from raysync.privacy.work import TenantWork
from raysync.store.privacy.names import Names
from raysync.store.privacy.subject_export import subject_lines


@dataclass(frozen=True, slots=True)
class TenantSubjects(TenantWork):
    """Users of one tenant who ask for their data."""

    async def export(
        self, ref: str, typed: str | None = None, *, with_mentions: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """Yield all that is kept of one user as JSON lines. Close it if not read to its end.

        *typed* is what the operator typed, and is searched for as well as *ref*. *with_mentions*
        adds the places where others name the user.
        """
        lines, names = 0, Names.of(ref, typed)
        is_refused = False
        try:
            async for block in subject_lines(
                self.engine, self.tenant.id, names, with_mentions=with_mentions
            ):
                lines += block.count(b"\n")
                yield block
        except ConfigurationError:
            is_refused = not lines
            raise
        finally:
            if not is_refused:
                await self._audit(AuditAction.PRIVACY_EXPORT, lines=lines)
