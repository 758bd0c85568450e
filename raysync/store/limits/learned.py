"""Discord's limits as its answers revealed them, kept across runs: its headers may lie.

What was learned of one API binds no other in the same database: an emulator's limits are not
Discord's. And every limit is believed for a while only, as `_BELIEVED` says.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, case, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql import func

from raysync.models.records import BelievedLimit, LearnedLimit
from raysync.store.connection.engine import translated
from raysync.store.schema.tables import rate_limits

_TABLE = rate_limits.c
_BELIEVED: ColumnElement[Any] = case(
    (
        (_TABLE.source == "refusal") & (_TABLE.window_s <= 5 * _TABLE.limit),
        literal_column("interval '7 days'"),
    ),
    else_=literal_column("interval '1 day'"),
)
"""A refusal is believed for a week, where that costs little: what is let through may hide it.

The next answer tells again what a header said. What was inferred nobody said. And a limit of less
than a request in five seconds is a mistake more likely than a limit.
"""
_UNTIL: ColumnElement[Any] = _TABLE.updated_at + _BELIEVED
_FORGOTTEN = func.to_timestamp(0)
_ANY = ""


class LimitStore:
    """What was learned of the limits of one API."""

    def __init__(self, engine: AsyncEngine, api: str = _ANY) -> None:
        """*api* is the address of the API; without one, what is stored is for any."""
        self._engine = engine
        self._api = api

    async def remember(self, learned: LearnedLimit) -> None:
        """Keep a limit; what was known of the same route and bucket is replaced."""
        new = insert(rate_limits).values(
            api=self._api,
            route=learned.route,
            bucket=learned.bucket,
            limit=learned.limit,
            window_s=learned.window_s,
            source=learned.source,
            form=learned.form,
        )
        told = ("limit", "window_s", "source", "form")
        values = {name: new.excluded[name] for name in told} | {"updated_at": func.now()}
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(
                    new.on_conflict_do_update(
                        index_elements=["api", "route", "bucket"], set_=values
                    )
                )

    async def known(self) -> tuple[LearnedLimit, ...]:
        """All limits that are still believed, by route."""
        return tuple(each.limit for each in await self.believed())

    async def believed(self) -> tuple[BelievedLimit, ...]:
        """The same, with until when."""
        query = (
            select(rate_limits, _UNTIL.label("until"))
            .where(self._is_ours, func.now() < _UNTIL)
            .order_by(_TABLE.route, _TABLE.bucket, _TABLE.api)
        )
        with translated():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
        return tuple(BelievedLimit(_limit(row), row.until) for row in rows)

    async def forget(self) -> int:
        """Believe nothing any more that was learned; how much that was.

        The rows stay: a worker's role may not delete them.
        """
        forgotten = (
            update(rate_limits)
            .where(self._is_ours, func.now() < _UNTIL)
            .values(updated_at=_FORGOTTEN)
        )
        with translated():
            async with self._engine.begin() as connection:
                return int((await connection.execute(forgotten)).rowcount)

    @property
    def _is_ours(self) -> ColumnElement[bool]:
        return _TABLE.api.in_((self._api, _ANY))


def _limit(row: Row[Any]) -> LearnedLimit:
    return LearnedLimit(row.route, row.bucket, row.limit, row.window_s, row.source, row.form)
