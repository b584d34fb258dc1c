"""Expand: `author` beside `role`, kept equal by a trigger while both versions of the backend run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.add_column("messages", sa.Column("author", sa.Text))
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
    op.execute("UPDATE messages SET author = role WHERE author IS NULL")


def downgrade() -> None:
    op.execute("DROP TRIGGER messages_keep_author ON messages")
    op.execute("DROP FUNCTION messages_keep_author()")
    op.drop_column("messages", "author")
