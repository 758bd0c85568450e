"""Tables of the live tail: sessions of Discord's gateway, and what is known of each tenant."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    func,
)

from raysync.store.schema.columns import Moment, id_column, metadata, updated_at

# The position is committed with the events that it covers, so a successor resumes where the
# database stands. The lock `tail/FINGERPRINT/SHARD` says who listens.
gateway_sessions = Table(
    "gateway_sessions",
    metadata,
    Column("fingerprint", Text, primary_key=True),  # of the token
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("shards", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False, server_default="0"),  # grows with every holder
    Column("session_id", Text),  # null: the next connection begins a session
    Column("resume_url", Text),
    Column("sequence", BigInteger),  # all events up to it are stored
    Column("identifies_left", Integer),  # as Discord said last
    updated_at(),
    # Written with every batch of events, so leave room for the new version.
    postgresql_with={"fillfactor": "50"},
)

gateway_identifies = Table(
    "gateway_identifies",
    metadata,
    id_column(),
    Column("fingerprint", Text, nullable=False),
    Column("at", Moment, nullable=False, server_default=func.now()),
    Index(None, "fingerprint", "at"),
)

tenant_listening = Table(
    "tenant_listening",
    metadata,
    Column(
        "tenant_id",
        BigInteger,
        ForeignKey("tenants.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    # grows with every change of the rules on people; see `store/live/rules.py`
    Column("rules_epoch", BigInteger, nullable=False, server_default="0"),
    Column("fingerprint", Text),  # of the token that listens
    Column("listened_since", Moment),  # null: not without a gap
    Column("alive_at", Moment),  # when the tail was last seen connected
    Column("interrupted_at", Moment),  # null: connected
    # begin of the last run that compared everything before `listened_since`
    Column("settled_at", Moment),
    Column("looked_back_at", Moment),
    Column("events", BigInteger, nullable=False, server_default="0"),
    Column("last_event_at", Moment),
    Column("events_a_minute", Integer),
    Column("lag_ms", Integer),
    # differences that a look-back found, and the tail should have seen
    Column("missed", BigInteger, nullable=False, server_default="0"),
    Column("gaps", BigInteger, nullable=False, server_default="0"),  # sessions that were lost
    updated_at(),
    postgresql_with={"fillfactor": "50"},
)


def _of_messages(name: str) -> Table:
    """Return a table of messages' ids, some of which may not be stored."""
    channel: Column[Any] = Column(
        "channel_id",
        BigInteger,
        ForeignKey("channels.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    return Table(
        name,
        metadata,
        channel,
        Column("platform_message_id", BigInteger, primary_key=True, autoincrement=False),
        Column("at", Moment, nullable=False, server_default=func.now()),
    )


# Messages deleted while a page with them may be in flight: the page stores them as deleted.
live_deletions = _of_messages("live_deletions")

# Messages whose reactions a page and an event may both have counted: a settle pass reads them.
gateway_doubts = _of_messages("gateway_doubts")
