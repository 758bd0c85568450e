"""Rate limits learned from Discord's answers, kept across runs, because its headers may be wrong.

Each limit belongs to one API, since an emulator's limits are not Discord's. Every limit expires, as
`_BELIEVED` says.
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
"""Time until a limit expires. A limit from a refusal lasts a week if obeying it costs little,
because obeying hides it: no answer repeats it.

A day is enough for the rest: the next answer repeats what a header said, an inferred limit was
never stated, and less than one request in five seconds is more likely a mistake than a limit.
"""
_UNTIL: ColumnElement[Any] = _TABLE.updated_at + _BELIEVED
_FORGOTTEN = func.to_timestamp(0)
_ANY = ""


class LimitStore:
    """Learned limits of one API."""

    def __init__(self, engine: AsyncEngine, api: str = _ANY) -> None:
        """Store limits of *api*, an address. Without one, they apply to any API."""
        self._engine = engine
        self._api = api

    async def remember(self, learned: LearnedLimit) -> None:
        """Store a limit in place of an earlier one of the same route and bucket."""
        new = insert(rate_limits).values(
            api=self._api,
            route=learned.route,
            bucket=learned.bucket,
            limit=learned.limit,
            window_s=learned.window_s,
            source=learned.source,
            form=learned.form,
        )
        replaced = ("limit", "window_s", "source", "form")
        values = {name: new.excluded[name] for name in replaced} | {"updated_at": func.now()}
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(
                    new.on_conflict_do_update(
                        index_elements=["api", "route", "bucket"], set_=values
                    )
                )

    async def known(self) -> tuple[LearnedLimit, ...]:
        """Return all limits that have not expired, ordered by route."""
        return tuple(found.limit for found in await self.believed())

    async def believed(self) -> tuple[BelievedLimit, ...]:
        """Return all limits that have not expired, with their expiry."""
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
        """Expire all learned limits. Return their number.

        The rows stay, because a worker's role may not delete them.
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
