"""What pruning looks up: the changes of an exemption, and those that an act made."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index the few changes that are an exemption's or an act's."""
    op.execute(
        "CREATE INDEX listing_change_exemption_id_idx ON listing_change (exemption_id) WHERE exemption_id IS NOT NULL"
    )
    op.execute("CREATE INDEX listing_change_act_id_idx ON listing_change (act_id) WHERE act_id IS NOT NULL")


def downgrade() -> None:
    """Take the indexes away."""
    op.execute("DROP INDEX listing_change_act_id_idx")
    op.execute("DROP INDEX listing_change_exemption_id_idx")
