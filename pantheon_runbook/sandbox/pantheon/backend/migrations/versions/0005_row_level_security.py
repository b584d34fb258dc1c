"""Users of the browser client see their own sessions only; the backend's role bypasses this."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("sessions", "messages", "jobs")
OF_OWN_SESSION = "session_id IN (SELECT id FROM sessions WHERE owner_id = (SELECT auth.uid()))"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("owner_id", sa.Uuid))
    op.create_index("sessions_owner_id", "sessions", ["owner_id"])
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own_sessions ON sessions FOR ALL TO authenticated"
        " USING (owner_id = (SELECT auth.uid())) WITH CHECK (owner_id = (SELECT auth.uid()))"
    )
    op.execute(f"CREATE POLICY own_messages ON messages FOR SELECT TO authenticated USING ({OF_OWN_SESSION})")
    op.execute(f"CREATE POLICY own_jobs ON jobs FOR SELECT TO authenticated USING ({OF_OWN_SESSION})")


def downgrade() -> None:
    op.execute("DROP POLICY own_jobs ON jobs")
    op.execute("DROP POLICY own_messages ON messages")
    op.execute("DROP POLICY own_sessions ON sessions")
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.drop_index("sessions_owner_id", table_name="sessions")
    op.drop_column("sessions", "owner_id")
