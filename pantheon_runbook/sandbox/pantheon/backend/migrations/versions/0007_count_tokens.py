"""Data: estimate the tokens of older messages, then demand a number."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE messages SET tokens = length(content) / 4 WHERE tokens IS NULL")
    op.alter_column("messages", "tokens", nullable=False, server_default="0", existing_type=sa.Integer)


def downgrade() -> None:
    op.alter_column("messages", "tokens", nullable=True, server_default=None, existing_type=sa.Integer)
