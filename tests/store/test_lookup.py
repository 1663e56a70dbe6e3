"""The short way to the database finds what the usual one finds."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from repzone import shipped
from repzone.model import Client
from repzone.policy.rules import SHIPPED
from repzone.store.engine import Engine
from repzone.store.exemptions import load_exemptions, store_own_networks
from repzone.store.find import find_listings
from repzone.store.lookup import Held, look_up
from repzone.store.policies import load_policy
from repzone.zone.table import MemoryTable

NOW = 1_790_000_000
ASKED = [Client.from_text(name) for name in ("192.0.2.7", "192.0.2.130", "2001:db8:1::5", "198.51.100.1")]
KEYS = ("192.0.2.7", "192.0.2.0/24", "192.0.2.128/25", "2001:db8:1::/64", "2001:db8::/32", "203.0.113.9")
LISTING = """INSERT INTO listing (key, category, offence, began, expires, state, comment, created, counts_until)
VALUES (:key, :category, 1, to_timestamp(:now - 60), to_timestamp(:now + :left), :state, 'why', to_timestamp(:now),
    CASE WHEN CAST(:state AS listing_state) = 'reversed' THEN to_timestamp(:now) END)
ON CONFLICT DO NOTHING RETURNING id"""
EVIDENCE = (
    "INSERT INTO listing_evidence VALUES (:id, 'auth_failed', 7, now(), now()), (:id, 'timeout', 2, now(), now())"
)
EXEMPTION = """INSERT INTO exemption (network, added, ended, comment)
VALUES (:network, to_timestamp(:now - :ago), to_timestamp(:now + CAST(:left AS integer)), 'a partner')"""

LISTINGS = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from(["spam", "auth"]),
        st.sampled_from(["active", "held", "reversed"]),
        st.sampled_from([-1, 0, 1, 900]),
        st.booleans(),
    ),
    max_size=8,
)
EXEMPTIONS = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([None, -1, 60])), max_size=2)


def ask(engine: Engine, policy: str = SHIPPED, networks: Sequence[Client] = (), revision: str = "") -> Held | None:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    revision = revision or shipped.newest_revision()
    return look_up(url, ASKED, NOW, revision=revision, policy=policy, own_networks=networks)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(listings=LISTINGS, exemptions=EXEMPTIONS)
def test_it_finds_the_same(
    engine: Engine, listings: list[tuple[str, str, str, int, bool]], exemptions: list[tuple[str, int | None]]
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE listing, exemption, policy_version CASCADE")
        load_policy(connection, SHIPPED, "policy.toml", NOW)
        for key, category, state, left, evidence in listings:
            row = {"key": key, "category": category, "state": state, "left": left, "now": NOW}
            number = connection.scalar(text(LISTING), row)
            if number and evidence:
                connection.execute(text(EVIDENCE), {"id": number})
        for ago, (network, ends) in enumerate(exemptions, 60):  # there is only one of a network and second
            connection.execute(text(EXEMPTION), {"network": network, "left": ends, "now": NOW, "ago": ago})
    held = ask(engine)
    assert held is not None
    short = MemoryTable(held.listings, held.exemptions)
    with engine.connect() as connection:
        for client in ASKED:
            usual = MemoryTable(find_listings(connection, NOW, client=client), load_exemptions(connection))
            assert short.lookup(client, NOW) == usual.lookup(client, NOW)


def test_it_leaves_a_database_that_is_not_up_to_date_to_the_usual_way(engine: Engine) -> None:
    assert ask(engine) is None  # no policy yet
    networks = [Client.from_text("192.0.2.0/24"), Client.from_text("2001:db8::/32")]
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW)
        store_own_networks(connection, networks, NOW)
    assert ask(engine, networks=networks[::-1]) is not None
    assert ask(engine, networks=networks[:1]) is None
    assert ask(engine, policy="[weights]\n", networks=networks) is None
    assert ask(engine, revision="9999", networks=networks) is None


def test_it_leaves_a_database_without_tables_and_one_that_is_not_there_to_the_usual_way(database_url: str) -> None:
    for url in (database_url, "postgresql://nobody@127.0.0.1:1/none"):
        assert look_up(url, ASKED, NOW, revision="0001", policy="", own_networks=()) is None
