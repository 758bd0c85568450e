"""Discord's limits as its answers revealed them, kept across runs: its headers may lie."""

from __future__ import annotations

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql import func

from raysync.models.records import LearnedLimit
from raysync.store.engine import translated
from raysync.store.schema import rate_limits

_INFERRED = "inferred"
_BELIEVED = text("interval '1 day'")


class LimitStore:
    """What was learned of Discord's limits."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def remember(self, learned: LearnedLimit) -> None:
        """Keep a limit; what was known of the same route and bucket is replaced."""
        new = insert(rate_limits).values(
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
                    new.on_conflict_do_update(index_elements=["route", "bucket"], set_=values)
                )

    async def known(self) -> tuple[LearnedLimit, ...]:
        """All limits learned, by route; what nobody said but we inferred is believed for a day."""
        table = rate_limits.c
        told = (table.source != _INFERRED) | (table.updated_at > func.now() - _BELIEVED)
        query = select(rate_limits).where(told).order_by(table.route, table.bucket)
        with translated():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).mappings().all()
        return tuple(
            LearnedLimit(
                row["route"],
                row["bucket"],
                row["limit"],
                row["window_s"],
                row["source"],
                row["form"],
            )
            for row in rows
        )
