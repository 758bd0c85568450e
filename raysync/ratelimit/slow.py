"""One request after another, with a pause between: for checks of Discord beside a run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from raysync.models.header_values import moment_in


@dataclass(slots=True)
class SlowLimiter:
    """Admits requests one by one, with a pause; satisfies the adapter's `RequestLimiter`."""

    between_s: float  #: pause before each request
    discord_says: datetime | None = None  #: time in the latest answer
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def enter(
        self,
        route: str,  # noqa: ARG002 all alike
        major_id: str | None,  # noqa: ARG002
        head_start_s: float = 0.0,  # noqa: ARG002
    ) -> SlowLimiter:
        async with self._turn:
            await asyncio.sleep(self.between_s)
        return self

    def sent(self) -> None:
        return None

    def finish(self, status: int | None, headers: Mapping[str, str]) -> None:  # noqa: ARG002
        self.discord_says = moment_in(headers.get("date", "")) or self.discord_says
