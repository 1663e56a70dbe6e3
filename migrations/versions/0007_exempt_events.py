"""Events that came in while a part of their key was exempt say so themselves."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Have each say it, by the exemptions that there were."""
    op.execute("ALTER TABLE event ADD COLUMN exempt boolean NOT NULL DEFAULT false")
    op.execute("""
UPDATE event SET exempt = true FROM exemption
WHERE family(network) = 6 AND client <<= network AND network << key
    AND at >= added AND (ended IS NULL OR at < ended)""")
    op.execute("UPDATE event SET exempt = true WHERE client <<= '::/127' AND key >> '::/127'")


def downgrade() -> None:
    """Take that away: the exemptions tell it again."""
    op.execute("ALTER TABLE event DROP COLUMN exempt")
