"""The tables, as the migrations leave them (a test compares the two).

Instants are `timestamptz`, clients `inet`: an address, or a prefix as key of what is listed.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, ENUM, INET, JSONB, TIMESTAMP

from repzone.model import STATES
from repzone.reasons import CATALOGUE, CATEGORIES

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

Category = ENUM(*CATEGORIES, name="category", metadata=metadata)
Reason = ENUM(*CATALOGUE, name="reason", metadata=metadata)
State = ENUM(*STATES, name="listing_state", metadata=metadata)
Instant = TIMESTAMP(timezone=True)

policy_version = sa.Table(
    "policy_version",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("effective_from", Instant, nullable=False),
)

# A log by its name; what its join remembers goes on over rotation. Its files carry the positions. It was last read at
# `seen`, and the newest stamp in it is `logged`.
source = sa.Table(
    "source",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("state", JSONB, nullable=True),
    sa.Column("seen", Instant, nullable=True),
    sa.Column("logged", Instant, nullable=True),
    sa.UniqueConstraint("host", "path"),
)

# One file that a source had: known again by a digest of its first octets, whatever its name is now.
source_file = sa.Table(
    "source_file",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("source_id", sa.Integer, sa.ForeignKey("source.id"), nullable=False, index=True),
    sa.Column("fingerprint", BYTEA, nullable=False),
    sa.Column("fingerprint_length", sa.Integer, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("lines", sa.BigInteger, nullable=False),
    sa.Column("device", sa.BigInteger, nullable=True),
    sa.Column("inode", sa.BigInteger, nullable=True),
    sa.Column("began", Instant, nullable=False),
)

# No foreign key to source: it would cost a look-up for every event, and sources are never deleted. Component and
# detail stand in the first events of a key, category and day, and are empty in the others: a table of their own would
# take more. `exempt` is what came in while a part of its key was; what covers the whole key is asked when it is judged.
# No gaps between the columns, and no NULL: a row of an IPv4 client has 64 octets.
event = sa.Table(
    "event",
    metadata,
    sa.Column("at", Instant, nullable=False),
    sa.Column("source_id", sa.Integer, nullable=False),
    sa.Column("category", Category, nullable=False),
    sa.Column("reason", Reason, nullable=False),
    sa.Column("count", sa.SmallInteger, nullable=False),
    sa.Column("late", sa.Boolean, nullable=False),
    sa.Column("key", INET, nullable=False),
    sa.Column("client", INET, nullable=False),
    sa.Column("component", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("exempt", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint("count BETWEEN 1 AND 10000", name="count"),
    sa.Index("event_key_category_at_idx", "key", "category", "at"),
    postgresql_partition_by="RANGE (at)",
)

# The senders' own ids (JSON Lines): the same source and id is stored once.
event_id = sa.Table(
    "event_id",
    metadata,
    sa.Column("source_id", sa.Integer, sa.ForeignKey("source.id"), primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False, index=True),
)

# Clients that need a new decision: what is new begins at `since`, and is to be decided from `due` on.
pending = sa.Table(
    "pending",
    metadata,
    sa.Column("key", INET, primary_key=True),
    sa.Column("category", Category, primary_key=True),
    sa.Column("since", Instant, nullable=False),
    sa.Column("due", Instant, nullable=False),
)

listing = sa.Table(
    "listing",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("key", INET, nullable=False),
    sa.Column("category", Category, nullable=False),
    sa.Column("offence", sa.Integer, nullable=False),
    sa.Column("began", Instant, nullable=False),
    sa.Column("expires", Instant, nullable=False),
    sa.Column("state", State, nullable=False),
    sa.Column("counts_until", Instant, nullable=True),
    sa.Column("policy_version_id", sa.Integer, sa.ForeignKey("policy_version.id"), nullable=True),
    sa.Column("points", sa.Integer, nullable=True),
    sa.Column("comment", sa.Text, nullable=False, server_default=""),
    sa.Column("created", Instant, nullable=False),
    sa.CheckConstraint("expires >= began", name="order"),
    sa.CheckConstraint("(counts_until IS NOT NULL) = (state IN ('reversed', 'dropped'))", name="counts_until"),
    sa.UniqueConstraint("key", "category", "began"),
    sa.Index("listing_active_expires_idx", "expires", postgresql_where=sa.text("state = 'active'")),
    sa.Index("listing_created_idx", "created", postgresql_where=sa.text("state = 'active'")),
    sa.Index("listing_held_idx", "began", postgresql_where=sa.text("state = 'held'")),
    sa.Index("listing_expires_idx", "expires"),
    sa.Index("listing_state_category_expires_id_idx", "state", "category", "expires", "id"),
)

VOIDED = "a rebuild found that it should never have been"
VOIDED_AHEAD = "decided anew, since who is exempt changed before it began"
"""The comments of listings that are void: they are there to be seen, and bound nothing."""

VOID = f"(listing.state = 'reversed' AND listing.comment IN ('{VOIDED}', '{VOIDED_AHEAD}'))"

MARKED = """ON CONFLICT (key, category) DO UPDATE
SET since = least(pending.since, excluded.since), due = least(pending.due, excluded.due)
WHERE excluded.since < pending.since OR excluded.due < pending.due"""
"""Ends each statement that marks clients as `pending`: one that is marked is due at the earlier time of the two, and is
locked also where that changes nothing.
"""

listing_evidence = sa.Table(
    "listing_evidence",
    metadata,
    sa.Column("listing_id", sa.BigInteger, sa.ForeignKey("listing.id"), primary_key=True),
    sa.Column("reason", Reason, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("first", Instant, nullable=False),
    sa.Column("last", Instant, nullable=False),
)

# Up to five lines that led to a listing; they outlive the events.
listing_sample = sa.Table(
    "listing_sample",
    metadata,
    sa.Column("listing_id", sa.BigInteger, sa.ForeignKey("listing.id"), nullable=False, index=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("client", INET, nullable=False),
    sa.Column("reason", Reason, nullable=False),
    sa.Column("component", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)

# Where a client had earned a listing from `began` to `last`, and its clean mail outweighed that.
spared = sa.Table(
    "spared",
    metadata,
    sa.Column("key", INET, primary_key=True),
    sa.Column("category", Category, primary_key=True),
    sa.Column("began", Instant, primary_key=True),
    sa.Column("last", Instant, nullable=False, index=True),
    sa.Column("policy_version_id", sa.Integer, sa.ForeignKey("policy_version.id"), nullable=False),
    sa.Column("points", sa.Integer, nullable=False),
    sa.Column("offences", sa.Integer, nullable=False),
    sa.Column("clean", sa.BigInteger, nullable=False),
)

exemption = sa.Table(
    "exemption",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("network", INET, nullable=False, index=True),
    sa.Column("added", Instant, nullable=False),
    sa.Column("ended", Instant, nullable=True),
    sa.Column("comment", sa.Text, nullable=False, server_default=""),
    sa.Column("author", sa.Text, nullable=False, server_default=""),
)

# One row. Whoever gives out serials holds its lock until commit: serials come in commit order, without gaps.
change_serial = sa.Table(
    "change_serial",
    metadata,
    sa.Column("single", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("serial", sa.BigInteger, nullable=False),
    sa.CheckConstraint("single", name="single"),
)

# Who did what by hand, when and why. `subject` is an address, network, apex or what was chosen by; `details` the rest.
act = sa.Table(
    "act",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("verb", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("details", JSONB, nullable=False),
)

# Zones in which only the test entries answer.
zone_pause = sa.Table(
    "zone_pause",
    metadata,
    sa.Column("apex", sa.Text, primary_key=True),
    sa.Column("since", Instant, nullable=False),
)

# What became of a listing, an exemption or the pause of a zone, each row standing for itself; by whose act, if any.
listing_change = sa.Table(
    "listing_change",
    metadata,
    sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("listing_id", sa.BigInteger, sa.ForeignKey("listing.id"), nullable=True, index=True),
    sa.Column("exemption_id", sa.Integer, sa.ForeignKey("exemption.id"), nullable=True),
    sa.Column("apex", sa.Text, nullable=True),
    sa.Column("act_id", sa.BigInteger, sa.ForeignKey("act.id"), nullable=True),
    sa.Column("key", INET, nullable=True),
    sa.Column("category", Category, nullable=True),
    sa.Column("offence", sa.Integer, nullable=True),
    sa.Column("began", Instant, nullable=False),
    sa.Column("expires", Instant, nullable=True),
    sa.Column("state", State, nullable=True),
    sa.CheckConstraint(
        "num_nonnulls(listing_id, exemption_id, apex) = 1 AND (apex IS NULL) = (key IS NOT NULL)", name="subject"
    ),
    sa.Index("listing_change_exemption_id_idx", "exemption_id", postgresql_where=sa.text("exemption_id IS NOT NULL")),
    sa.Index("listing_change_act_id_idx", "act_id", postgresql_where=sa.text("act_id IS NOT NULL")),
)

# Refusals that our own zones caused, an hour at a time; without a listing when none was found for them.
hit = sa.Table(
    "hit",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("key", INET, nullable=False),
    sa.Column("hour", Instant, nullable=False, index=True),
    sa.Column("listing_id", sa.BigInteger, sa.ForeignKey("listing.id"), nullable=True, index=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("key", "hour", "listing_id", postgresql_nulls_not_distinct=True),
)

# Clean connections and accepted messages of a client, an hour at a time.
traffic = sa.Table(
    "traffic",
    metadata,
    sa.Column("hour", Instant, nullable=False),
    sa.Column("connections", sa.BigInteger, nullable=False),
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Column("key", INET, nullable=False),
    sa.PrimaryKeyConstraint("key", "hour"),
    sa.Index("traffic_hour_idx", "hour", postgresql_using="brin"),
)

# A letter (keyed hash of sender and recipient) that a client's network was told to bring again, as all logs tell it up
# to the log time; `client` was the last to try.
greylist_wait = sa.Table(
    "greylist_wait",
    metadata,
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("letter", sa.Uuid, nullable=False),
    sa.Column("network", INET, nullable=False),
    sa.Column("client", INET, nullable=False),
    sa.PrimaryKeyConstraint("network", "letter"),
)

# What opens and closes waits, as long as a log that is not read so far yet may hold something earlier.
greylist_ahead = sa.Table(
    "greylist_ahead",
    metadata,
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("letter", sa.Uuid, nullable=False),
    sa.Column("closed", sa.Boolean, nullable=False),
    sa.Column("client", INET, nullable=False),
)

# One row: what envelope addresses are hashed with, or, when the key is in a file, only how to know it again.
secret = sa.Table(
    "secret",
    metadata,
    sa.Column("single", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("key", BYTEA, nullable=True),
    sa.Column("digest", BYTEA, nullable=False),
    sa.CheckConstraint("single", name="single"),
)

# One row once something was pruned: when that was.
sweep = sa.Table(
    "sweep",
    metadata,
    sa.Column("single", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("pruned", Instant, nullable=True),
    sa.Column("events_from", Instant, nullable=True),  # before that days were dropped, as long as they were kept then
    sa.CheckConstraint("single", name="single"),
)
