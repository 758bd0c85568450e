"""Tables of erasure and pseudonyms: suppressions, key checks, scrubbing rules, generations."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
)

from raysync.store.schema.columns import (
    Moment,
    created_at,
    id_column,
    metadata,
    one_of,
    tenant_id,
    tenant_key,
)


class SuppressedKind(StrEnum):
    """Kind of an entry on the suppression list."""

    USER = "user"
    CHANNEL = "channel"


suppressions = Table(
    "suppressions",
    metadata,
    id_column(),
    tenant_id(),
    Column("kind", Text, nullable=False),
    # a channel's id, or a user's name in `messages`: pseudonym, or id if the tenant is `full`
    Column("ref", Text, nullable=False),
    Column("erased_at", Moment),  # null: the erasure has not ended
    created_at(),
    UniqueConstraint("tenant_id", "kind", "ref"),
    one_of("kind", SuppressedKind),
)

# Ids of erased messages, so that forwards of them are stored without the copy. Replies name the
# same ids.
erased_messages = Table(
    "erased_messages",
    metadata,
    tenant_key(),
    Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "suppression_id",
        BigInteger,
        ForeignKey("suppressions.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Index(None, "suppression_id"),
)

# Mark of the key that a tenant's pseudonyms are made under. Another key makes other pseudonyms.
key_checks = Table(
    "key_checks",
    metadata,
    tenant_key(),
    Column("mark", Text, nullable=False),
    created_at(),
)

# Scrubbing rules of a tenant's rows: the highest completed number, 1 without a row. See
# `raysync.models.privacy.SCRUBBING_RULES`.
scrubbings = Table(
    "scrubbings",
    metadata,
    tenant_key(),
    Column("rules", Integer, primary_key=True, autoincrement=False),
    # checkpoint: rows up to this message of this channel follow these rules
    Column("at_channel", BigInteger, nullable=False, server_default="0"),
    Column("at_message", BigInteger, nullable=False, server_default="0"),
    Column("begun_at", Moment, nullable=False, server_default=func.now()),
    Column("completed_at", Moment),
)

pseudonym_generations = Table(
    "pseudonym_generations",
    metadata,
    tenant_key(),
    Column("generation", Integer, primary_key=True, autoincrement=False),  # 1 is the first rotation
    Column("salt", LargeBinary, nullable=False),
    # checkpoint: rows up to this message of this channel have new pseudonyms
    Column("at_channel", BigInteger, nullable=False, server_default="0"),
    Column("at_message", BigInteger, nullable=False, server_default="0"),
    Column("begun_at", Moment, nullable=False, server_default=func.now()),
    Column("completed_at", Moment),
)
