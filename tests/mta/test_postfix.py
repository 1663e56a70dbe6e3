"""A real Postfix, which asks repzone through a real unbound, refuses exactly whom repzone lists."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.mta.house import ZONE, House, failed_logins, now, open_house, unknown_recipients
from tests.mta.peer import FILTER, PostfixPeer

pytestmark = pytest.mark.mta

LISTED, LISTED_V6, BELOW, ENDED, BRIEF = "192.0.2.10", "2001:db8:7::25", "192.0.2.11", "192.0.2.12", "192.0.2.13"
STRANGER = "198.51.100.9"
SHORT = 12
POLICY = f'[categories.auth]\ndurations = ["{SHORT}s"]\n'
REPLY = "$rbl_code 5.7.1 Not from you today, see https://postmaster.example.net/?ip=$rbl_what"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Serve a zone that follows from a log written just now."""
    with open_house(tmp_path_factory.mktemp("house"), POLICY) as house:
        begin = now()
        lines = unknown_recipients(ENDED, begin - 3 * 3600, 12)
        lines += unknown_recipients(LISTED, begin - 5, 12)
        lines += unknown_recipients(LISTED_V6, begin - 5, 12)
        lines += unknown_recipients(BELOW, begin - 5, 4)
        (house.folder / "mail.log").write_text(lines)
        (summary,) = house.run("ingest", "mail.log", "--no-calculate")
        assert summary["events"] == {"errors": 40}
        house.run("calculate")
        house.await_listed(LISTED)
        house.await_listed(LISTED_V6)
        yield house


@pytest.fixture(scope="module")
def peer(house: House) -> Iterator[PostfixPeer]:
    """Run a Postfix that asks the zone, as the README says."""
    with PostfixPeer(house.dns, ZONE) as peer:
        yield peer


@pytest.mark.parametrize("client", [LISTED, LISTED_V6])
def test_refuses_a_client_whose_offences_were_just_ingested(house: House, peer: PostfixPeer, client: str) -> None:
    """The bounce says why, until when, how long still, and where to read on."""
    code, text = peer.rcpt(client)
    assert code == 554
    assert "Too many errors from your IP" in text
    key = client if client == LISTED else "2001:db8:7::/64"
    (listing,) = house.listings(key)
    until = datetime.fromisoformat(listing["expires"])
    shown = f"{until:%Y-%m-%d %H:%M:%S}".removesuffix(":00")  # a whole minute is written without its seconds
    assert f"until {shown} UTC" in text
    assert " left" in text
    assert f"https://postmaster.example.net/?ip={client}" in text


@pytest.mark.parametrize("client", [STRANGER, BELOW])
def test_accepts_a_client_that_is_not_listed(peer: PostfixPeer, client: str) -> None:
    """Neither a stranger nor a client below the threshold is refused."""
    assert peer.rcpt(client).code == 250


def test_accepts_a_client_whose_listing_has_ended(house: House, peer: PostfixPeer) -> None:
    """The offences of three hours ago listed it for two."""
    (listing,) = house.listings(ENDED)
    assert (listing["offence"], listing["state"]) == (1, "expired")
    assert peer.rcpt(ENDED).code == 250


def test_accepts_a_client_from_the_second_on_that_its_listing_ends(house: House, peer: PostfixPeer) -> None:
    """Postfix refuses until the end and accepts from then on; no command is run in between."""
    began = now()
    house.ingest("brief.log", failed_logins(BRIEF, began, 12))
    house.await_listed(BRIEF)
    end = began + SHORT
    refused = 0
    while True:
        before = now()
        code, text = peer.rcpt(BRIEF)
        after = now()
        if code == 250:
            break
        refused += 1
        assert code == 554
        assert before < end, f"refused {before - end} s after the end"
        # At the very end Postfix may get the A record, and a moment later no TXT.
        assert "Too many authentication errors from your IP" in text or after >= end
        time.sleep(0.3)
    assert refused > 0, f"not refused at all: ingest and calculate took longer than {SHORT} s"
    assert after >= end, f"accepted {end - after} s before the end"


@pytest.mark.parametrize("replies", [{}, {f"{ZONE}={FILTER}": REPLY}], ids=["Postfix's own reply", "rbl_reply_maps"])
def test_a_refusal_of_ours_is_a_hit_and_no_offence(house: House, replies: dict[str, str]) -> None:
    """What Postfix just logged, ingested again, does not feed the ban."""
    before = house.listings(LISTED)
    with PostfixPeer(house.dns, ZONE, rbl_reply_maps=replies) as peer:
        code, text = peer.rcpt(LISTED)
        assert code == 554
        assert ("Not from you today" in text) == bool(replies)
        log = peer.log()
    assert f"reject: RCPT from unknown[{LISTED}]: 554 5.7.1" in log
    summary = house.ingest(f"postfix-{len(replies)}.log", log)
    assert sum(summary["events"].values()) == 0
    assert summary["hits"] == 1
    assert house.listings(LISTED) == before
