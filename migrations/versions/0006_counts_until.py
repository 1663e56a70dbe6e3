"""Up to which second a listing that was reversed or dropped makes a next one longer."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Have each say it: up to the act, or the second before where the act ended it; a void one counts for nothing."""
    op.execute("ALTER TABLE listing ADD COLUMN counts_until timestamptz")
    op.execute("""
UPDATE listing SET counts_until = CASE
    WHEN comment = 'a rebuild found that it should never have been' AND state = 'reversed' THEN began
    ELSE coalesce((
        SELECT undone - CASE WHEN ended > undone THEN interval '1 s' ELSE interval '0' END
        FROM (
            SELECT min(at) FILTER (WHERE state IN ('reversed', 'dropped')) AS undone,
                min(expires) FILTER (WHERE state NOT IN ('reversed', 'dropped', 'shadow')) AS ended
            FROM listing_change WHERE listing_id = listing.id
        ) AS counted
        WHERE ended IS NOT NULL
    ), expires - interval '1 s') END
WHERE state IN ('reversed', 'dropped')""")
    op.execute("""
ALTER TABLE listing ADD CONSTRAINT listing_counts_until_check
    CHECK ((counts_until IS NOT NULL) = (state IN ('reversed', 'dropped')))""")


def downgrade() -> None:
    """Take that away; it was made out of the changes before."""
    op.execute("ALTER TABLE listing DROP CONSTRAINT listing_counts_until_check")
    op.execute("ALTER TABLE listing DROP COLUMN counts_until")
