"""Contract: `author` alone, and what `role` held is gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    op.execute("DROP TRIGGER messages_keep_author ON messages")
    op.execute("DROP FUNCTION messages_keep_author()")
    op.create_check_constraint("messages_author_known", "messages", "author IN ('user', 'assistant', 'system')")
    op.alter_column("messages", "author", nullable=False, existing_type=sa.Text)
    op.drop_column("messages", "role")


def downgrade() -> None:
    op.add_column("messages", sa.Column("role", sa.Text))
    op.execute("UPDATE messages SET role = author")
    op.create_check_constraint("messages_role_known", "messages", "role IN ('user', 'assistant', 'system')")
    op.alter_column("messages", "role", nullable=False, existing_type=sa.Text)
    op.alter_column("messages", "author", nullable=True, existing_type=sa.Text)
    op.drop_constraint("messages_author_known", "messages")
    op.execute(
        """
        CREATE FUNCTION messages_keep_author() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.author := coalesce(NEW.author, NEW.role);
            NEW.role := coalesce(NEW.role, NEW.author);
            RETURN NEW;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER messages_keep_author BEFORE INSERT OR UPDATE ON messages"
        " FOR EACH ROW EXECUTE FUNCTION messages_keep_author()"
    )
