"""Events that came in while a part of their key was exempt say so themselves; from when on all events are there."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Have each say it, by the exemptions that there were; where something was pruned the first day is the oldest."""
    op.execute("ALTER TABLE event ADD COLUMN exempt boolean NOT NULL DEFAULT false")
    op.execute("""
UPDATE event SET exempt = true FROM exemption
WHERE family(network) = 6 AND client <<= network AND network << key
    AND at >= added AND (ended IS NULL OR at < ended)""")
    op.execute("ALTER TABLE sweep ALTER COLUMN pruned DROP NOT NULL, ADD COLUMN events_from timestamptz")
    op.execute("""
UPDATE sweep SET events_from = (
    SELECT CAST(substr(min(relname), 7) AS date)::timestamp AT TIME ZONE 'UTC'
    FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid WHERE inhparent = 'event'::regclass
)""")
    op.execute("UPDATE event SET exempt = true WHERE client <<= '::/127' AND key >> '::/127'")


def downgrade() -> None:
    """Take that away: the exemptions tell it again."""
    op.execute("DELETE FROM sweep WHERE pruned IS NULL")
    op.execute("ALTER TABLE sweep ALTER COLUMN pruned SET NOT NULL, DROP COLUMN events_from")
    op.execute("ALTER TABLE event DROP COLUMN exempt")
