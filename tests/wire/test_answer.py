"""Which records a query gets: the table in tests/data/dns/answers.txt, and what depends on time, address and state."""

from dataclasses import replace

import dnslib
import pytest

from repzone.model import Client, Exemption, Listing
from repzone.wire.answer import Answer
from repzone.wire.query import Query
from repzone.wire.respond import View, respond
from repzone.zone.table import MemoryTable
from tests.wire.sample import CASES, LOOPBACK, NOW, OTHER, ZONES, make_view, opt, query

VIEW = make_view()
TYPES = {name: number for number, name in dnslib.QTYPE.forward.items()}


def load_cases() -> list[tuple[str, str, str, str]]:
    lines = (CASES / "answers.txt").read_text().splitlines()
    return [
        (fields[0], fields[1], fields[2], fields[3])
        for fields in (line.split(None, 3) for line in lines if line and not line.startswith("#"))
    ]


def ask(
    qname: str, qtype: str = "A", *, view: View = VIEW, now: int = NOW, client: Client = LOOPBACK, edns: bytes = b""
) -> dnslib.DNSRecord:
    reply = respond(query(qname, TYPES[qtype], edns=edns), client, now, view, udp=True)
    assert reply is not None
    return dnslib.DNSRecord.parse(reply)


def rcode(record: dnslib.DNSRecord) -> str:
    name: str = dnslib.RCODE[record.header.rcode]
    return name


def ede(record: dnslib.DNSRecord) -> list[int]:
    return [int.from_bytes(option.data, "big") for rr in record.ar for option in rr.rdata if option.code == 15]


@pytest.mark.parametrize(("qname", "qtype", "expected", "answers"), load_cases())
def test_each_case_of_the_table_is_answered_as_it_says(qname: str, qtype: str, expected: str, answers: str) -> None:
    record = ask(qname, qtype)
    given = [f"{dnslib.QTYPE[rr.rtype]} {rr.rdata}" for rr in record.rr]
    assert (rcode(record), " / ".join(given) or "-") == (expected, answers)
    negative = answers == "-" and expected in ("NOERROR", "NXDOMAIN")
    assert [(dnslib.QTYPE[rr.rtype], rr.ttl) for rr in record.auth] == ([("SOA", 60)] if negative else [])
    assert record.header.aa == (expected in ("NOERROR", "NXDOMAIN"))
    assert record.header.ra == 0
    assert not record.ar


def test_a_listing_ends_at_its_second_and_its_ttl_runs_out_before() -> None:
    end = NOW + 5000
    name = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example.net"
    for now, ttl in [(end - 1000, 300), (end - 301, 300), (end - 300, 299), (end - 2, 1), (end - 1, 0)]:
        assert [rr.ttl for rr in ask(name, now=now).rr] == [ttl]
        assert [rr.ttl for rr in ask(name, "TXT", now=now).rr] == [ttl]
    assert rcode(ask(name, now=end)) == "NXDOMAIN"
    assert rcode(ask(name, "TXT", now=end)) == "NXDOMAIN"


def test_an_rrset_has_one_ttl_that_of_the_listing_which_ends_first() -> None:
    assert [rr.ttl for rr in ask("7.2.0.192.bl.example.net", now=NOW + 1190).rr] == [9, 9]
    after = ask("7.2.0.192.bl.example.net", now=NOW + 1200)
    assert [(str(rr.rdata), rr.ttl) for rr in after.rr] == [("127.0.0.8", 300)]


def test_an_exemption_that_ends_bounds_the_ttl_of_the_allow_list() -> None:
    address = Client.from_text("192.0.2.1")
    view = View(ZONES, MemoryTable([], [Exemption(address, 0, NOW + 10)]), 1, 0)
    assert [rr.ttl for rr in ask("1.2.0.192.wl.example.net", view=view).rr] == [9]
    assert rcode(ask("1.2.0.192.wl.example.net", view=view, now=NOW + 10)) == "NXDOMAIN"


@pytest.mark.parametrize(("age", "code"), [(None, 14), (86401, 24), (-61, 24)])
def test_without_data_or_with_stale_data_only_what_needs_none_is_answered(age: int | None, code: int) -> None:
    view = make_view(age=age)
    for name in ["7.2.0.192", "8.2.0.192", "2.0.192", "foo", "3.0.0.127", "1.0.0.10"]:
        for zone in ["bl.example.net", "wl.example.net"]:
            record = ask(f"{name}.{zone}", view=view, edns=opt())
            assert (rcode(record), record.header.aa, record.rr, record.auth) == ("SERVFAIL", 0, [], [])
            assert ede(record) == [code]
    for name in ["2.0.0.127", "4.0.0.127", "64.0.0.127"]:
        assert rcode(ask(f"{name}.bl.example.net", view=view)) == "NOERROR"
    assert rcode(ask("2.0.0.127.wl.example.net", view=view)) == "NOERROR"
    for zone in ["bl.example.net", "wl.example.net"]:
        assert rcode(ask(f"1.0.0.127.{zone}", view=view)) == "NXDOMAIN"
        assert ask(zone, "SOA", view=view).rr
        assert f"age={'never' if age is None else age}" in str(ask(f"_status.{zone}", "TXT", view=view).rr[0].rdata)
    assert ask("ns.bl.example.net", view=view).rr


@pytest.mark.parametrize(("age", "stale"), [(60, False), (61, True), (86400, True)])
def test_an_answer_from_data_that_is_older_than_it_should_be_says_so(age: int, stale: bool) -> None:
    view = make_view(age=age)
    cases = {"7.2.0.192": 3, "8.2.0.192": 19, "2.0.192": 3, "foo": 19}
    for name, code in cases.items():
        assert ede(ask(f"{name}.bl.example.net", view=view, edns=opt())) == ([code] if stale else [])
    for name in ["2.0.0.127.", "1.0.0.127.", "_status.", "ns.", ""]:
        assert ede(ask(f"{name}bl.example.net", view=view, edns=opt())) == []


def test_the_status_tells_what_is_out_of_the_ordinary() -> None:
    view = replace(make_view(), held=True, paused=frozenset({"bl.example.net"}))
    text = str(ask("_status.bl.example.net", "TXT", view=view).rr[0].rdata)
    assert text.startswith('"serial=812 age=1 held=yes paused=yes errors=2 ')
    assert "paused" not in str(ask("_status.wl.example.net", "TXT", view=view).rr[0].rdata)


def test_an_observer_is_told_each_query_and_its_answer() -> None:
    told: list[tuple[str, int, str, bool]] = []

    def observe(query: Query, client: Client, said: Answer, udp: bool) -> None:
        told.append((str(client), query.type, said.outcome.name, udp))

    view = replace(make_view(), observe=observe)
    ask("7.2.0.192.bl.example.net", view=view)
    ask("other.example", "TXT", view=view)
    assert respond(b"", LOOPBACK, NOW, view, udp=True) is None
    assert told == [("127.0.0.1", 1, "HIT", True), ("127.0.0.1", 16, "NO_ZONE", True)]


@pytest.mark.parametrize("age", [0, 86400, -60])
def test_data_of_an_age_within_bounds_is_answered(age: int) -> None:
    assert ask("7.2.0.192.bl.example.net", view=make_view(age=age)).rr


@pytest.mark.parametrize("qname", ["7.2.0.192.bl.example.net", "bl.example.net", "2.0.0.127.bl.example.net"])
def test_who_may_not_ask_is_refused_everything(qname: str) -> None:
    record = ask(qname, client=OTHER, edns=opt())
    assert (rcode(record), record.header.aa, record.rr, record.auth, ede(record)) == ("REFUSED", 0, [], [], [18])


def test_outside_our_zones_the_extended_error_says_so() -> None:
    assert ede(ask("www.example.com", edns=opt())) == [20]


def test_the_serial_wraps_at_32_bits() -> None:
    view = make_view(serial=2**32 + 5)
    assert ask("bl.example.net", "SOA", view=view).rr[0].rdata.times[0] == 5


def test_a_listing_of_a_category_that_the_zone_has_not_is_not_counted() -> None:
    text = str(ask("7.2.0.192.spam.bl.example.net", "TXT").rr[0].rdata)
    assert "more" not in text
    assert [rr.ttl for rr in ask("7.2.0.192.spam.bl.example.net", now=NOW + 1100).rr] == [300]


def test_a_test_entry_does_not_need_to_be_free_of_listings() -> None:
    listed = Listing(Client.from_text("127.0.0.1"), "manual", 1, 0, NOW + 100)
    view = View(ZONES, MemoryTable([listed]), 1, 0)
    assert rcode(ask("1.0.0.127.bl.example.net", view=view)) == "NXDOMAIN"


def test_a_ds_of_a_zone_below_another_is_denied_by_the_upper_one_and_else_by_itself() -> None:
    for apex, soa in {"spam.bl.example.net": "bl.example.net.", "bl.example.net": "bl.example.net."}.items():
        record = ask(apex, "DS")
        assert (rcode(record), record.rr, record.header.aa) == ("NOERROR", [], 1)
        assert [(str(rr.rname), dnslib.QTYPE[rr.rtype], rr.ttl) for rr in record.auth] == [(soa, "SOA", 60)]
    alone = replace(VIEW, zones=tuple(zone for zone in VIEW.zones if zone.apex == "spam.bl.example.net"))
    assert str(ask("spam.bl.example.net", "DS", view=alone).auth[0].rname) == "spam.bl.example.net."


def test_in_a_paused_zone_only_the_test_entries_are_listed() -> None:
    paused = replace(make_view(), paused=frozenset({"bl.example.net"}))
    assert rcode(ask("7.2.0.192.bl.example.net", view=paused)) == "NXDOMAIN"
    assert rcode(ask("2.0.192.bl.example.net", view=paused)) == "NOERROR"
    assert ask("2.0.0.127.bl.example.net", view=paused).rr
    assert ask("7.2.0.192.spam.bl.example.net", view=paused).rr
