"""Addresses in, the listings and exemptions that cover them out: by psycopg alone.

For a command that asks one question: importing SQLAlchemy takes several times as long as asking it. What it finds is
what `find.find_listings` and `exemptions.load_exemptions` find (a test compares them).
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg

from repzone.model import Client, Exemption, Listing

OWN = "own_networks"
"""The author of the exemptions that the configuration makes, and of what they lift."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the database holds of some addresses."""

    listings: Sequence[Listing]
    exemptions: Sequence[Exemption]


def look_up(
    url: str, clients: Sequence[Client], now: int, *, revision: str, policy: str, own_networks: Iterable[Client]
) -> Held | None:
    """Ask a `postgresql://` database what is in force for these addresses and prefixes.

    None when it cannot be asked so simply: it does not answer, its tables are of another revision, or the policy or
    the own networks in it are not these.
    """
    try:
        # Closed, and not left as a transaction's end would: a read has nothing to commit.
        with closing(psycopg.connect(url, connect_timeout=10, application_name="repzone")) as connection:
            wanted = sorted(network.to_text() for network in own_networks)
            if _standing(connection) != (revision, policy, wanted):
                return None
            covering = [client.truncate(length).to_text() for client in clients for length in range(client.length + 1)]
            arguments = {"keys": covering, "now": now}
            listings = [
                Listing(Client.from_text(key), *fields) for key, *fields in connection.execute(_LISTINGS, arguments)
            ]
            exemptions = [
                Exemption(Client.from_text(network), *fields)
                for network, *fields in connection.execute(_EXEMPTIONS, arguments)
            ]
    except psycopg.Error:  # who asks in the usual way then says why
        return None
    return Held(listings, exemptions)


def _standing(connection: psycopg.Connection) -> tuple[str, str, list[str]] | None:
    """Give the revision of the tables, the policy in force and the own networks."""
    row = connection.execute(_STANDING, {"own": OWN}).fetchone()
    if row is None:
        return None
    revision, policy, own = row
    return revision, policy, sorted(Client.from_text(network).to_text() for network in own)


_STANDING = """
SELECT (SELECT max(version_num) FROM alembic_version),
    (SELECT text FROM policy_version ORDER BY id DESC LIMIT 1),
    ARRAY(SELECT network::text FROM exemption WHERE author = %(own)s AND ended IS NULL)"""

# listing_key_category_began_key
_LISTINGS = """
SELECT key::text, category::text, offence, extract(epoch FROM began)::bigint, extract(epoch FROM expires)::bigint,
    state::text,
    coalesce((SELECT jsonb_object_agg(reason, count) FROM listing_evidence WHERE listing_id = listing.id), '{}'),
    comment
FROM listing
WHERE key = ANY(%(keys)s::inet[]) AND state = 'active' AND expires > to_timestamp(%(now)s)
ORDER BY listing.expires DESC, listing.key, listing.category, listing.began"""

# exemption_network_idx
_EXEMPTIONS = """
SELECT network::text, extract(epoch FROM added)::bigint, extract(epoch FROM ended)::bigint, comment, author
FROM exemption WHERE network = ANY(%(keys)s::inet[]) ORDER BY id"""
