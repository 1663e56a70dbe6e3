"""A client in, what a blocked sender may be told of it out: reasons and numbers, never lines or names.

The role of the public page can read no more than what these statements need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from repzone.model import Client, Exemption, Exemptions, Listing
from repzone.policy.calculator import Evidence
from repzone.policy.rules import Rulebook
from repzone.reasons import COUNTED
from repzone.store.changes import current_serial, load_paused
from repzone.store.engine import instant
from repzone.store.find import in_force
from repzone.store.listings import Case, Due, load_cases
from repzone.store.policies import load_rulebook
from repzone.store.tables import listing


@dataclass(frozen=True, slots=True)
class Counted:
    """A listing with what was counted for it, and the policy version and points that made it (None: an operator)."""

    listing: Listing
    version: int | None
    points: int | None
    evidence: Mapping[str, Evidence]


@dataclass(frozen=True, slots=True)
class Sender:
    """What is known of an address.

    `listings` cover it and have not ended, `exemptions` ever covered it; `ended` is of each category the last listing
    that ran out, was released, or was reversed after it had been published; the latest first. `cases` are what the
    rules need to say what comes next.
    """

    serial: int
    paused: frozenset[str]
    rulebook: Rulebook
    exemptions: tuple[Exemption, ...]
    listings: tuple[Counted, ...]
    ended: tuple[Listing, ...]
    cases: tuple[Case, ...]


def load_sender(connection: sa.Connection, client: Client, now: int) -> Sender:
    """Give what is known of one address at that instant."""
    rulebook = load_rulebook(connection)
    covering = [client.truncate(length).to_text() for length in range(client.length + 1)]
    arguments = {"keys": covering, "now": instant(now)}
    ended = [_listing(row) for row in connection.execute(_ENDED, arguments)]
    exemptions = tuple(
        Exemption(Client.from_text(network), *rest) for network, *rest in connection.execute(_EXEMPTIONS, arguments)
    )
    key = client.key(rulebook.at(now).policy.ipv6_prefix)
    asked = [Due(*row) for row in connection.execute(_ASKED, {"key": key.to_text(), "now": now, "all": list(COUNTED)})]
    return Sender(
        serial=current_serial(connection),
        paused=load_paused(connection),
        rulebook=rulebook,
        exemptions=exemptions,
        listings=tuple(_counted(row) for row in connection.execute(_LISTINGS, arguments)),
        ended=tuple(sorted(ended, key=lambda one: one.expires, reverse=True)),
        cases=tuple(load_cases(connection, asked, rulebook, Exemptions(exemptions), now)),
    )


def count_listed(connection: sa.Connection, now: int) -> dict[int, int]:
    """Count the addresses and networks in force now, by IP version; one that is listed twice counts once.

    A million take a second: in this transaction a statement may take ten.
    """
    connection.exec_driver_sql("SET LOCAL statement_timeout = '10s'")
    family = sa.func.family(listing.c.key)
    query = sa.select(family, sa.func.count(sa.distinct(listing.c.key))).where(*in_force(connection, now))
    return {int(version): int(count) for version, count in connection.execute(query.group_by(family))}


def _counted(row: Sequence[Any]) -> Counted:
    version, points, evidence = row[6:]
    found = {reason: Evidence(*numbers) for reason, numbers in evidence.items()}
    return Counted(_listing(row, {reason: seen.count for reason, seen in found.items()}), version, points, found)


def _listing(row: Sequence[Any], reasons: Mapping[str, int] | None = None) -> Listing:
    key, category, offence, began, expires, state = row[:6]
    return Listing(Client.from_text(key), category, offence, began, expires, state, reasons or {})


_COLUMNS = """key::text, category::text, offence, extract(epoch FROM began)::bigint,
    extract(epoch FROM expires)::bigint, state::text, policy_version_id, points"""

# listing_key_category_began_key
_LISTINGS = sa.text(
    f"""SELECT {_COLUMNS}, coalesce((SELECT jsonb_object_agg(reason, jsonb_build_array(count,
        extract(epoch FROM first)::bigint, extract(epoch FROM last)::bigint))
        FROM listing_evidence WHERE listing_id = listing.id), '{{}}')
    FROM listing WHERE key = ANY(CAST(:keys AS inet[])) AND state = 'active' AND expires > :now"""  # noqa: S608
)

# listing_key_category_began_key; of what is reversed, listing_change_listing_id_idx: held listings blocked nobody.
_ENDED = sa.text(
    f"""SELECT DISTINCT ON (category) {_COLUMNS} FROM listing
    WHERE key = ANY(CAST(:keys AS inet[])) AND expires <= :now AND (state IN ('active', 'expired', 'released')
        OR state = 'reversed' AND EXISTS (SELECT FROM listing_change AS change
            WHERE change.listing_id = listing.id AND change.state = 'active' AND change.at < listing.expires))
    ORDER BY category, expires DESC"""  # noqa: S608 - our own words
)

# exemption_network_idx
_EXEMPTIONS = sa.text("""
SELECT network::text, extract(epoch FROM added)::bigint, extract(epoch FROM ended)::bigint
FROM exemption WHERE network = ANY(CAST(:keys AS inet[])) ORDER BY id""")

_ASKED = sa.text("""
SELECT CAST(:key AS inet), asked.category, least(extract(epoch FROM pending.since)::bigint, :now)
FROM unnest(CAST(:all AS category[])) WITH ORDINALITY AS asked (category, n)
LEFT JOIN pending ON pending.key = CAST(:key AS inet) AND pending.category = asked.category
ORDER BY n""")
