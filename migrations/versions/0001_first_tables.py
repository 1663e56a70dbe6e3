"""The first tables: policy versions, sources and positions, events, listings with their history, exemptions."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TYPE category AS ENUM ('errors', 'spam', 'virus', 'auth', 'manual');

CREATE TYPE reason AS ENUM ('unknown_command', 'command_rejected', 'bad_address_syntax', 'data_rejected',
    'non_smtp_command', 'vrfy_expn', 'improper_pipelining', 'pregreet', 'bare_newline', 'protocol_error',
    'command_limit', 'too_many_errors', 'rate_limit', 'connection_limit', 'dropped_connection',
    'timeout', 'tls_failed', 'no_mail_transaction', 'no_auth_attempt', 'helo_not_fqdn', 'helo_not_found',
    'helo_rejected', 'rdns_missing', 'rdns_mismatch', 'sender_domain_not_found', 'sender_not_fqdn',
    'sender_rejected', 'sender_verify_failed', 'spf_fail', 'dmarc_fail', 'unknown_recipient',
    'recipient_rejected', 'recipient_domain_not_found', 'relay_denied', 'greylisted',
    'greylist_early_retry', 'greylist_never_retried', 'client_denied', 'dropped_by_acl', 'spam_rejected',
    'spam_detected', 'spam_tagged', 'content_rejected', 'milter_rejected', 'spamtrap', 'abuse_report',
    'dnsbl_listed', 'virus_found', 'banned_attachment', 'auth_failed', 'auth_unknown_user',
    'auth_not_offered', 'auth_mechanism_invalid', 'auth_plaintext_disallowed', 'auth_policy_refused');

CREATE TYPE listing_state AS ENUM ('active', 'expired', 'released', 'reversed', 'held', 'dropped',
    'shadow');

CREATE TABLE policy_version (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    text TEXT NOT NULL,
    effective_from timestamptz NOT NULL,
    CONSTRAINT policy_version_pkey PRIMARY KEY (id)
);

CREATE TABLE source (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    host TEXT NOT NULL,
    path TEXT NOT NULL,
    state JSONB,
    seen timestamptz,
    CONSTRAINT source_pkey PRIMARY KEY (id),
    CONSTRAINT source_host_path_key UNIQUE (host, path)
);

CREATE TABLE event (
    at timestamptz NOT NULL,
    count INTEGER NOT NULL,
    source_id INTEGER NOT NULL,
    category category NOT NULL,
    reason reason NOT NULL,
    late BOOLEAN NOT NULL,
    client INET NOT NULL,
    key INET NOT NULL,
    component TEXT NOT NULL,
    detail TEXT,
    CONSTRAINT event_count_check CHECK (count BETWEEN 1 AND 10000)
) PARTITION BY RANGE (at);

CREATE INDEX event_key_category_at_idx ON event (key, category, at);

CREATE TABLE pending (
    key INET NOT NULL,
    category category NOT NULL,
    since timestamptz NOT NULL,
    due timestamptz NOT NULL,
    CONSTRAINT pending_pkey PRIMARY KEY (key, category)
);

CREATE TABLE exemption (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    network INET NOT NULL,
    added timestamptz NOT NULL,
    ended timestamptz,
    comment TEXT DEFAULT '' NOT NULL,
    author TEXT DEFAULT '' NOT NULL,
    CONSTRAINT exemption_pkey PRIMARY KEY (id)
);

CREATE INDEX exemption_network_idx ON exemption (network);

CREATE TABLE change_serial (
    single BOOLEAN DEFAULT true NOT NULL,
    serial BIGINT NOT NULL,
    CONSTRAINT change_serial_pkey PRIMARY KEY (single),
    CONSTRAINT change_serial_single_check CHECK (single)
);

CREATE TABLE source_file (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    source_id INTEGER NOT NULL,
    fingerprint BYTEA NOT NULL,
    fingerprint_length INTEGER NOT NULL,
    position BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    device BIGINT,
    inode BIGINT,
    began timestamptz NOT NULL,
    CONSTRAINT source_file_pkey PRIMARY KEY (id),
    CONSTRAINT source_file_source_id_fkey FOREIGN KEY(source_id) REFERENCES source (id)
);

CREATE INDEX source_file_source_id_idx ON source_file (source_id);

CREATE TABLE event_id (
    source_id INTEGER NOT NULL,
    id TEXT NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT event_id_pkey PRIMARY KEY (source_id, id),
    CONSTRAINT event_id_source_id_fkey FOREIGN KEY(source_id) REFERENCES source (id)
);

CREATE TABLE listing (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    key INET NOT NULL,
    category category NOT NULL,
    offence INTEGER NOT NULL,
    began timestamptz NOT NULL,
    expires timestamptz NOT NULL,
    state listing_state NOT NULL,
    policy_version_id INTEGER,
    points INTEGER,
    comment TEXT DEFAULT '' NOT NULL,
    created timestamptz NOT NULL,
    CONSTRAINT listing_pkey PRIMARY KEY (id),
    CONSTRAINT listing_order_check CHECK (expires >= began),
    CONSTRAINT listing_key_category_began_key UNIQUE (key, category, began),
    CONSTRAINT listing_policy_version_id_fkey FOREIGN KEY(policy_version_id) REFERENCES policy_version (id)
);

CREATE INDEX listing_active_expires_idx ON listing (expires) WHERE state = 'active';

CREATE TABLE listing_evidence (
    listing_id BIGINT NOT NULL,
    reason reason NOT NULL,
    count BIGINT NOT NULL,
    first timestamptz NOT NULL,
    last timestamptz NOT NULL,
    CONSTRAINT listing_evidence_pkey PRIMARY KEY (listing_id, reason),
    CONSTRAINT listing_evidence_listing_id_fkey FOREIGN KEY(listing_id) REFERENCES listing (id)
);

CREATE TABLE listing_change (
    serial BIGINT NOT NULL,
    at timestamptz NOT NULL,
    listing_id BIGINT,
    exemption_id INTEGER,
    key INET NOT NULL,
    category category,
    offence INTEGER,
    began timestamptz NOT NULL,
    expires timestamptz,
    state listing_state,
    CONSTRAINT listing_change_pkey PRIMARY KEY (serial),
    CONSTRAINT listing_change_subject_check CHECK ((listing_id IS NULL) <> (exemption_id IS NULL)),
    CONSTRAINT listing_change_listing_id_fkey FOREIGN KEY(listing_id) REFERENCES listing (id),
    CONSTRAINT listing_change_exemption_id_fkey FOREIGN KEY(exemption_id) REFERENCES exemption (id)
);

CREATE TABLE hit (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    key INET NOT NULL,
    hour timestamptz NOT NULL,
    listing_id BIGINT,
    count BIGINT NOT NULL,
    CONSTRAINT hit_pkey PRIMARY KEY (id),
    CONSTRAINT hit_key_hour_listing_id_key UNIQUE NULLS NOT DISTINCT (key, hour, listing_id),
    CONSTRAINT hit_listing_id_fkey FOREIGN KEY(listing_id) REFERENCES listing (id)
);

INSERT INTO change_serial (serial) VALUES (0);
"""

DROPPED = """
DROP TABLE listing_evidence;
DROP TABLE listing_change;
DROP TABLE hit;
DROP TABLE source_file;
DROP TABLE listing;
DROP TABLE event_id;
DROP TABLE source;
DROP TABLE policy_version;
DROP TABLE pending;
DROP TABLE exemption;
DROP TABLE event;
DROP TABLE change_serial;
DROP TYPE listing_state;
DROP TYPE reason;
DROP TYPE category;
"""


def upgrade() -> None:
    """Make everything."""
    op.execute(TABLES)


def downgrade() -> None:
    """Drop everything; what was stored is lost."""
    op.execute(DROPPED)
