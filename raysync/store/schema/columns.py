"""What tables have in common: the naming of constraints, and columns that recur."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    MetaData,
    func,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

Moment = DateTime(timezone=True)
EMPTY_OBJECT = text("'{}'::jsonb")


ID_PATTERN = "^([0-9]{1,18}|[1-8][0-9]{18})$"
"""Ids as text that a bigint holds: Discord's reach 9 * 10^18 in 2083. Payloads hold what they hold,
and a cast of anything else fails the whole statement."""


def id_column() -> Column[int]:
    """The surrogate key."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def created_at() -> Column[Any]:
    """When the row was written."""
    return Column("created_at", Moment, nullable=False, server_default=func.now())


def updated_at() -> Column[Any]:
    """When the row was written last."""
    return Column("updated_at", Moment, nullable=False, server_default=func.now())


def tenant_id() -> Column[int]:
    """The tenant, and gone with it."""
    return Column(
        "tenant_id", BigInteger, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False
    )


def tenant_key() -> Column[int]:
    """The tenant as the key, or its first part, and gone with it."""
    return Column(
        "tenant_id",
        BigInteger,
        ForeignKey("tenants.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )


def channel_id() -> Column[int]:
    """The channel by our own key, and gone with it."""
    return Column(
        "channel_id", BigInteger, ForeignKey("channels.id", ondelete="CASCADE"), nullable=False
    )


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """A check that *column* holds one of *values*."""
    listed = ", ".join(f"'{each.value}'" for each in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)
