"""Shared parts of tables: names of constraints, and columns that several tables have."""

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
"""Pattern of ids, as text, that a bigint can hold. Discord's reach 9 * 10^18 in 2083.

A payload may hold anything, and a cast of anything else fails the whole statement.
"""


def id_column() -> Column[int]:
    """Return a surrogate key."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def created_at() -> Column[Any]:
    """Return the column with the time of the row's insertion."""
    return Column("created_at", Moment, nullable=False, server_default=func.now())


def updated_at() -> Column[Any]:
    """Return the column with the time of the row's last change."""
    return Column("updated_at", Moment, nullable=False, server_default=func.now())


def tenant_id() -> Column[int]:
    """Return a reference to the tenant; the row is deleted with it."""
    return Column(
        "tenant_id", BigInteger, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False
    )


def tenant_key() -> Column[int]:
    """Return a reference to the tenant that is the primary key or its first part."""
    return Column(
        "tenant_id",
        BigInteger,
        ForeignKey("tenants.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )


def channel_id() -> Column[int]:
    """Return a reference to the channel by its own key; the row is deleted with it."""
    return Column(
        "channel_id", BigInteger, ForeignKey("channels.id", ondelete="CASCADE"), nullable=False
    )


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """Return a check that *column* holds one of *values*."""
    listed = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)
