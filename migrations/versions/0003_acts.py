"""What operators do: acts, paused zones; clients that were spared, and samples that outlive their events."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE act (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    author TEXT NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT NOT NULL,
    details JSONB NOT NULL,
    CONSTRAINT act_pkey PRIMARY KEY (id)
);

CREATE INDEX act_at_idx ON act (at);

CREATE TABLE zone_pause (
    apex TEXT NOT NULL,
    since timestamptz NOT NULL,
    CONSTRAINT zone_pause_pkey PRIMARY KEY (apex)
);

CREATE TABLE spared (
    key INET NOT NULL,
    category category NOT NULL,
    began timestamptz NOT NULL,
    last timestamptz NOT NULL,
    policy_version_id INTEGER NOT NULL,
    points INTEGER NOT NULL,
    offences INTEGER NOT NULL,
    clean BIGINT NOT NULL,
    CONSTRAINT spared_pkey PRIMARY KEY (key, category, began),
    CONSTRAINT spared_policy_version_id_fkey FOREIGN KEY(policy_version_id) REFERENCES policy_version (id)
);

CREATE INDEX spared_last_idx ON spared (last);

CREATE TABLE listing_sample (
    listing_id BIGINT NOT NULL,
    at timestamptz NOT NULL,
    client INET NOT NULL,
    reason reason NOT NULL,
    component TEXT NOT NULL,
    detail TEXT NOT NULL,
    CONSTRAINT listing_sample_listing_id_fkey FOREIGN KEY(listing_id) REFERENCES listing (id)
);

CREATE INDEX listing_sample_listing_id_idx ON listing_sample (listing_id);

CREATE TABLE sweep (
    single BOOLEAN DEFAULT true NOT NULL,
    pruned timestamptz NOT NULL,
    CONSTRAINT sweep_pkey PRIMARY KEY (single),
    CONSTRAINT sweep_single_check CHECK (single)
);

ALTER TABLE listing_change ADD COLUMN apex TEXT;
ALTER TABLE listing_change ADD COLUMN act_id BIGINT;
ALTER TABLE listing_change ADD CONSTRAINT listing_change_act_id_fkey FOREIGN KEY(act_id) REFERENCES act (id);
ALTER TABLE listing_change ALTER COLUMN key DROP NOT NULL;
ALTER TABLE listing_change DROP CONSTRAINT listing_change_subject_check;
ALTER TABLE listing_change ADD CONSTRAINT listing_change_subject_check
    CHECK (num_nonnulls(listing_id, exemption_id, apex) = 1 AND (apex IS NULL) = (key IS NOT NULL));

CREATE INDEX listing_created_idx ON listing (created) WHERE state = 'active';
CREATE INDEX listing_held_idx ON listing (began) WHERE state = 'held';
CREATE INDEX listing_expires_idx ON listing (expires);
CREATE INDEX listing_change_listing_id_idx ON listing_change (listing_id);
CREATE INDEX listing_change_at_idx ON listing_change (at);
CREATE INDEX hit_listing_id_idx ON hit (listing_id);
CREATE INDEX hit_hour_idx ON hit (hour);
CREATE INDEX traffic_hour_idx ON traffic USING brin (hour);
CREATE INDEX event_id_at_idx ON event_id (at);
"""

DROPPED = """
DROP INDEX event_id_at_idx;
DROP INDEX traffic_hour_idx;
DROP INDEX hit_hour_idx;
DROP INDEX hit_listing_id_idx;
DROP INDEX listing_change_at_idx;
DROP INDEX listing_change_listing_id_idx;
DROP INDEX listing_expires_idx;
DROP INDEX listing_held_idx;
DROP INDEX listing_created_idx;
DELETE FROM listing_change WHERE apex IS NOT NULL;
ALTER TABLE listing_change DROP CONSTRAINT listing_change_subject_check;
ALTER TABLE listing_change ALTER COLUMN key SET NOT NULL;
ALTER TABLE listing_change DROP COLUMN act_id;
ALTER TABLE listing_change DROP COLUMN apex;
ALTER TABLE listing_change ADD CONSTRAINT listing_change_subject_check
    CHECK ((listing_id IS NULL) <> (exemption_id IS NULL));
DROP TABLE sweep;
DROP TABLE listing_sample;
DROP TABLE spared;
DROP TABLE zone_pause;
DROP TABLE act;
"""


def upgrade() -> None:
    """Add what is new; nothing that is there changes."""
    op.execute(TABLES)


def downgrade() -> None:
    """Take it back: who did what, where clients were spared, and samples are lost; paused zones answer again."""
    op.execute(DROPPED)
