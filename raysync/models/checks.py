"""What `raysync doctor` finds; its JSON is a public contract."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class CheckStatus(StrEnum):
    """How one thing stands."""

    OK = "ok"
    WARN = "warn"  #: raysync works, and something is left out or will run short
    FAIL = "fail"  #: raysync does not work


class Check(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: CheckStatus
    says: str
    advice: str | None = None  #: what to do about it; None: nothing
    tenant: str | None = None  #: the slug, where it is about one tenant alone


class CheckUp(BaseModel):
    """All that was looked at."""

    model_config = ConfigDict(frozen=True)

    checks: list[Check]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing fails."""
        return all(each.status is not CheckStatus.FAIL for each in self.checks)
