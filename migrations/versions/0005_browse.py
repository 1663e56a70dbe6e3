"""What the console pages through: listings of a state and category, by their end."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index them in the order of the pages."""
    op.execute("CREATE INDEX listing_state_category_expires_id_idx ON listing (state, category, expires, id)")


def downgrade() -> None:
    """Take the index away."""
    op.execute("DROP INDEX listing_state_category_expires_id_idx")
