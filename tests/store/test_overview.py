"""The overview: what stands now, and which log is missed."""

from __future__ import annotations

import pytest

from repzone.model import Client, Hit, Listing, State
from repzone.store.changes import set_paused
from repzone.store.engine import Engine
from repzone.store.events import add_hits
from repzone.store.overview import Overview, Source, Standing, load_overview
from repzone.store.policies import load_rulebook
from repzone.store.positions import add_file, open_source, reading, store_position, store_state
from tests.store.samples import DAY, HOUR, NOW, add_listings, add_policy, add_spared, execute

C = Client.from_text


def load(engine: Engine) -> Overview:
    with engine.connect() as connection:
        return load_overview(connection, NOW)


def source(began: int | None, seen: int | None, logged: int | None, *, held: bool = False) -> Source:
    """Give a source by its instants, all so many seconds ago."""
    first, last, newest = (None if at is None else NOW - at for at in (began, seen, logged))
    return Source("mx", "/var/log/mail.log", first, last, newest, 1, held)


STANDINGS: list[tuple[Source, bool, Standing]] = [
    (source(DAY, 60, 90), True, "fine"),
    (source(DAY, 600, 90), True, "fine"),
    (source(DAY, 601, 90), True, "silent"),
    (source(DAY, 60, HOUR + 1), True, "quiet"),
    (source(None, None, None), True, "silent"),
    (source(None, None, None), False, "once"),
    (source(60, 60, 90), False, "once"),
    (source(DAY, DAY - HOUR, DAY), False, "once"),  # read for an hour, and no more
    (source(DAY, DAY - HOUR - 1, DAY), False, "silent"),  # read for longer: somebody did so on purpose
    (source(DAY, 60, 90), False, "fine"),
    (source(DAY, 60, 60 + DAY), False, "once"),  # an archive, read twice
    (source(9 * DAY, 7 * DAY, 7 * DAY), False, "once"),  # missed by nobody
    (source(9 * DAY, 7 * DAY, 7 * DAY), True, "silent"),
    (source(9 * DAY, 7 * DAY, 60, held=True), False, "fine"),
    (source(None, None, None, held=True), False, "fine"),
    (source(DAY, 60, HOUR + 1, held=True), False, "quiet"),
]


@pytest.mark.parametrize(("one", "configured", "standing"), STANDINGS)
def test_only_a_log_that_will_be_read_again_can_be_missed(one: Source, configured: bool, standing: Standing) -> None:
    assert one.standing(NOW, configured=configured) == standing


def test_a_source_tells_when_it_was_read_and_who_reads_it_now(engine: Engine) -> None:
    with engine.begin() as connection:
        number = open_source(connection, "mx", "/var/log/mail.log")
        for began, lines in ((NOW - DAY, 40), (NOW - HOUR, 2)):
            store_position(connection, add_file(connection, number, b"x", 1, (0, 0), began), 700, lines, b"x", 1)
        store_state(connection, number, {}, NOW - 60, NOW - 90)
        open_source(connection, "mx", "-")
    expected = Source("mx", "/var/log/mail.log", NOW - DAY, NOW - 60, NOW - 90, 42, False)
    assert load(engine).sources == (expected,)
    with reading(engine, number):
        assert load(engine).sources[0].held


def test_listings_are_counted_by_what_they_are_now(engine: Engine) -> None:
    states: list[tuple[State, int]] = [("active", 1), ("active", 1), ("active", 0), ("held", 1), ("held", 0)]
    states += [("shadow", 1), ("shadow", 0), ("reversed", 1), ("expired", 0)]
    add_listings(
        engine,
        *(Listing(C(f"192.0.2.{n}"), "spam", 1, NOW - 9, NOW + left, state) for n, (state, left) in enumerate(states)),
    )
    overview = load(engine)
    assert (overview.listings, overview.held, overview.shadow) == ({"spam": 2}, {"spam": 1}, {"spam": 1})


def test_the_last_day_tells_who_was_spared_and_how_many_mails_were_refused(engine: Engine) -> None:
    add_policy(engine)
    with engine.begin() as connection:
        rulebook = load_rulebook(connection)
        add_hits(connection, [Hit(NOW, C("192.0.2.1")), Hit(NOW - 25 * HOUR, C("192.0.2.1"))], rulebook)
    for key, at in (("192.0.2.1", NOW), ("192.0.2.1", NOW - 60), ("192.0.2.2", NOW), ("192.0.2.3", NOW - DAY)):
        add_spared(engine, key, "auth", at, at)
    assert (load(engine).spared, load(engine).hits) == ({"auth": 2}, 1)


def test_pending_clients_count_once_they_are_due(engine: Engine) -> None:
    for key, due in (("192.0.2.1", NOW - 600), ("192.0.2.2", NOW), ("192.0.2.3", NOW + 1)):
        values = "INSERT INTO pending VALUES (CAST(:key AS inet), 'auth', to_timestamp(:due), to_timestamp(:due))"
        execute(engine, values, {"key": key, "due": due})
    assert (load(engine).pending, load(engine).waiting) == (2, NOW - 600)


def test_paused_zones_are_known_with_their_serial(engine: Engine) -> None:
    assert (load(engine).paused, load(engine).serial) == ({}, 0)
    with engine.begin() as connection:
        set_paused(connection, ["bl.example.net"], True, NOW - 60, None)
    assert (load(engine).paused, load(engine).serial) == ({"bl.example.net": NOW - 60}, 1)
