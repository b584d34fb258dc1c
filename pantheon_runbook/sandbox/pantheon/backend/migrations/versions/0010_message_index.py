"""An index for reading one session, built without blocking writers."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INDEX = "messages_session_id_id"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(INDEX, "messages", ["session_id", "id"], postgresql_concurrently=True, if_not_exists=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, table_name="messages", postgresql_concurrently=True, if_exists=True)
