"""API of each learned limit. Earlier limits may be of any API, so they are deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "016_add_api_of_limits"
down_revision = "015_clarify_views"

_BEFORE = "uq_rate_limits_route_bucket"
_NOW = "uq_rate_limits_api_route_bucket"


def upgrade() -> None:
    op.execute("DELETE FROM rate_limits")
    op.add_column("rate_limits", sa.Column("api", sa.Text(), server_default="", nullable=False))
    op.drop_constraint(_BEFORE, "rate_limits")
    op.create_unique_constraint(op.f(_NOW), "rate_limits", ["api", "route", "bucket"])


def downgrade() -> None:
    op.execute("DELETE FROM rate_limits")
    op.drop_constraint(_NOW, "rate_limits")
    op.drop_column("rate_limits", "api")
    op.create_unique_constraint(op.f(_BEFORE), "rate_limits", ["route", "bucket"])
