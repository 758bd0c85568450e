"""Findings of `raysync doctor`; their JSON is a public contract."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class CheckStatus(StrEnum):
    """Status of one check."""

    OK = "ok"
    WARN = "warn"  #: raysync works, but leaves something out or will run short of something
    FAIL = "fail"  #: raysync does not work


class Check(BaseModel):
    """One check with its finding."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: CheckStatus
    says: str
    advice: str | None = None  #: next step; None: nothing to do
    tenant: str | None = None  #: the slug, if the check concerns a single tenant


class CheckUp(BaseModel):
    """All checks of one run of `raysync doctor`."""

    model_config = ConfigDict(frozen=True)

    checks: list[Check]

    @property
    def is_healthy(self) -> bool:
        """True if no check fails."""
        return all(check.status is not CheckStatus.FAIL for check in self.checks)
