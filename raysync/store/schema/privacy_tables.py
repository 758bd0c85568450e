"""The tables of erasure: who and what is kept out, and under which keys people have pseudonyms."""

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
    """What is kept out of an archive."""

    USER = "user"
    CHANNEL = "channel"


suppressions = Table(
    "suppressions",
    metadata,
    id_column(),
    tenant_id(),
    Column("kind", Text, nullable=False),
    # a channel's id; of a user what `messages` would say: a pseudonym, or the id of a full tenant
    Column("ref", Text, nullable=False),
    Column("erased_at", Moment),  # null: what was stored may not all be gone yet
    created_at(),
    UniqueConstraint("tenant_id", "kind", "ref"),
    one_of("kind", SuppressedKind),
)

# By their ids alone, which replies to them name, too: so that forwards of them come in empty.
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

# What was made under one key means nothing under another: new pseudonyms would fit no old one.
key_checks = Table(
    "key_checks",
    metadata,
    tenant_key(),
    Column("mark", Text, nullable=False),
    created_at(),
)

# Under which rules the rows of a tenant were kept: the highest that are completed; with none, the
# first. See `raysync.models.privacy.SCRUBBING_RULES`.
scrubbings = Table(
    "scrubbings",
    metadata,
    tenant_key(),
    Column("rules", Integer, primary_key=True, autoincrement=False),
    # under way: everything up to this message of this channel is kept under these rules
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
    # the rotation under way: everything up to this message of this channel has new pseudonyms
    Column("at_channel", BigInteger, nullable=False, server_default="0"),
    Column("at_message", BigInteger, nullable=False, server_default="0"),
    Column("begun_at", Moment, nullable=False, server_default=func.now()),
    Column("completed_at", Moment),
)
