"""How many tokens a message cost; empty for those that are there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("tokens", sa.Integer))


def downgrade() -> None:
    op.drop_column("messages", "tokens")
