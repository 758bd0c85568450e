"""Privacy of one tenant: erasure, retention, pseudonyms, and what is handed out to a user.

Each module is one concern of an operator. Acts that change the archive hold the tenant, so nothing
is synced meanwhile. They work in short transactions; if interrupted, the same command continues.
Each act is recorded in the audit log. Its entries never change, so they name people by their
number on the suppression list, or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from raysync.privacy.erasure import TenantErasure
from raysync.privacy.pseudonyms import TenantPseudonyms
from raysync.privacy.retention import TenantRetention
from raysync.privacy.subject import TenantSubjects


@dataclass(frozen=True, slots=True)
class TenantPrivacy(TenantErasure, TenantRetention, TenantPseudonyms, TenantSubjects):
    """One tenant's privacy, all concerns of it; see `TenantWork` for its fields."""
