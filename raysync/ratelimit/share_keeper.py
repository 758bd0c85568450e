"""The renewal of a governor's claims on tokens, in databases shared with other governors."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping

from raysync.clock import Clock
from raysync.errors import LedgerUnknownError, SyncError
from raysync.ratelimit.shares import VALID_FOR_S, ShareLedger, TokenShare

_log = logging.getLogger(__name__)

BEAT_S = 0.05
"""Seconds between looks for due renewals."""


class ShareKeeper:
    """Renews due shares, each in the ledger of its token."""

    def __init__(
        self,
        shares: Mapping[str, TokenShare],
        clock: Clock,
        open_ledger: Callable[[str], ShareLedger],
    ) -> None:
        """Open the ledger of a database's URL by *open_ledger*."""
        self._shares = shares
        self._clock = clock
        self._open_ledger = open_ledger
        self._name = uuid.uuid4().hex
        self._ledgers: dict[str, ShareLedger] = {}
        self._of_token: dict[str, ShareLedger] = {}
        self._names: dict[str, str] = {}  # of claims that were another governor's
        self._renewing: dict[str, asyncio.Task[None]] = {}
        self._unreachable: set[str] = set()

    def connect(self, token: str, database_url: str) -> None:
        """Share *token* with the other governors of that database. Idempotent."""
        if database_url not in self._ledgers:
            self._ledgers[database_url] = self._open_ledger(database_url)
        self._of_token[token] = self._ledgers[database_url]

    def claimant(self, token: str) -> str:
        """Return the name of the token's claim."""
        return self._names.get(token, self._name)

    def is_renewing(self, token: str) -> bool:
        """Return whether the token's claim is being written."""
        return token in self._renewing

    def inherit(self, token: str, claimant: str) -> None:
        """Renew the token's claim by another governor's name, which uses it no more."""
        self._names[token] = claimant

    def require(self, token: str) -> None:
        """Raise LedgerUnknownError unless the token's database is known."""
        if token not in self._of_token:
            raise LedgerUnknownError("the governor knows no database for this token yet")

    async def renew_for_ever(self) -> None:
        """Renew due shares: tokens concurrently, each by one renewal at a time."""
        while True:
            self._renew_due()
            await asyncio.sleep(BEAT_S)

    async def settle(self) -> None:
        """Wait until no renewal is under way; none begins before the caller's next await."""
        while self._renewing:
            await asyncio.wait(self._renewing.values())

    async def write_down(self) -> None:
        """Renew due shares, and wait until the ledgers are written."""
        self._renew_due()
        await self.settle()

    async def close(self) -> None:
        """Stop renewals under way, and close the ledgers."""
        renewing = list(self._renewing.values())
        for renewal in renewing:
            renewal.cancel()
        await asyncio.gather(*renewing, return_exceptions=True)
        await asyncio.gather(*(ledger.close() for ledger in self._ledgers.values()))

    def _renew_due(self) -> None:
        for token, share in self._shares.items():
            if token not in self._renewing and share.is_due(self._clock.monotonic_s()):
                self._renewing[token] = asyncio.create_task(self._renew(token, share))

    async def _renew(self, token: str, share: TokenShare) -> None:
        asked_s = self._clock.monotonic_s()
        decide, name = share.decide(asked_s), self.claimant(token)
        try:
            async with asyncio.timeout(VALID_FOR_S):
                await self._of_token[token].renew(token, name, VALID_FOR_S, decide)
        except (SyncError, TimeoutError) as error:
            share.put_off(self._clock.monotonic_s())
            self._log_once(token, error)
        else:
            share.note_written(asked_s, self._clock.monotonic_s())
            self._unreachable.discard(token)
        finally:
            del self._renewing[token]

    def _log_once(self, token: str, error: Exception) -> None:
        if token not in self._unreachable:
            self._unreachable.add(token)
            _log.warning(
                "the share of token %s was not renewed: %s",
                token,
                error or type(error).__name__,
                extra={"event": "share_not_renewed", "token": token},
            )
