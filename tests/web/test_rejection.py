"""The address that a pasted rejection is about; nothing else in it is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.model import Client
from repzone.web.rejection import MOST, Subject, UnclearError, parse, read_zone

V4, V6 = "192.0.2.10", "2001:db8::10"
REPLY = (
    "554 5.7.1 Service unavailable; Client host [192.0.2.10] blocked using bl.example.net; Too many errors from your "
    "IP: 192.0.2.10 is listed for the 2nd time until 2026-11-24 18:40 UTC (3 h 12 min left). "
    "https://postmaster.example.net/?ip=192.0.2.10"
)


@pytest.mark.parametrize(
    ("text", "client", "zone"),
    [
        (V4, V4, ""),
        (f"  [{V4}]\n", V4, ""),
        (f"{V4}.", V4, ""),
        ("::ffff:192.0.2.10", V4, ""),
        (V6, V6, ""),
        ("[IPv6:2001:db8::10]", V6, ""),
        ("2001:db8::", "2001:db8::", ""),
        (REPLY, V4, "bl.example.net"),
        (REPLY.upper(), V4, "bl.example.net"),
        (f"Nov 24 12:00:00 out postfix/smtp[9]: A1: to=<x@example.net>, relay=mx.example.net[198.51.100.5]:25, "
         f"dsn=5.7.1, status=bounced (host mx.example.net[198.51.100.5] said: {REPLY})", V4, "bl.example.net"),
        (f"554 5.7.1 Service unavailable; Client host [{V6}] blocked using bl.example.net", V6, "bl.example.net"),
        (f"Too many spams from your IP: {V4} is listed for the 1st time", V4, ""),
        (f"https://postmaster.example.net/?ip={V6}&lang=fr", V6, ""),
        (f"host mx1 [198.51.100.5]: 550 rejected; see https://postmaster.example.net/?ip={V4}", V4, ""),
        ("<x@example.net>: host mx.example.net said: 550 no\n  such service; Client host\n  [192.0.2.10] blocked "
         "using\n  BL.example.net.; too many", V4, "bl.example.net"),
        (f"mail from {V4} was refused", V4, ""),
        (f"host mx.example.net [198.51.100.5]: 550 rejected because {V4} is in a black list at bl.example.net", V4,
         "bl.example.net"),
        (f"host mx.example.net [198.51.100.5]:25: 550-{V4} is listed\n550 (Too many errors)", V4, ""),
        (f"550 5.7.1 Rejected: {V4} listed at bl.example.net\nReceived: from [198.51.100.5]", V4, "bl.example.net"),
        (f"550 5.7.1 Mail from {V4} refused by blackhole site bl.example.net (198.51.100.5)", V4, "bl.example.net"),
        (f"> 554 198.51.100.5 Client host\n> [{V4}] blocked\n>> using\n> bl.example.net", V4, "bl.example.net"),
        ("https://postmaster.example.net/?ip=2001%3Adb8%3A%3A10&lang=fr", V6, ""),
        (f"H=mail.example.com {V4}:25", V4, ""),
        (f"https://postmaster.example.net/?ip=3D{V4}", V4, ""),
        (f"https://postmaster.example.net/?ip=3D{V6}&lang=3Dfr", V6, ""),
        ("https://postmaster.example.net/?ip=3D192.0=\r\n.2.10", V4, ""),
        ("https://postmaster.example.net/?ip=3d20::1", "3d20::1", ""),
        (f"Connected to 198.51.100.5 but sender was rejected.\nRemote host said: 550 Mail from {V4} refused", V4, ""),
        (f"198.51.100.5 does not like recipient.\nRemote host said: 550 {V4} refused\nGiving up on 198.51.100.5.", V4,
         ""),
    ],
)  # fmt: skip
def test_the_address_that_was_refused_is_found(text: str, client: str, zone: str) -> None:
    assert parse(text) == Subject(Client.from_text(client), zone)


@pytest.mark.parametrize(
    "text",
    [
        *("", "hello", "192.0.2", "999.1.1.1", "192.0.2.0/24", "a:b", "12:30:45", "::::", "1.2.3"),
        "10.2.0.192.bl.example.net",
        "host mx.example.net [198.51.100.5]: 550 Too many errors from your IP",
    ],
)
def test_what_holds_no_address_is_said_to_hold_none(text: str) -> None:
    with pytest.raises(UnclearError) as unclear:
        parse(text)
    assert unclear.value.found == ()


def test_of_several_addresses_none_is_guessed() -> None:
    with pytest.raises(UnclearError) as unclear:
        parse("from 192.0.2.10 to 198.51.100.5")
    assert unclear.value.found == (Client.from_text(V4), Client.from_text("198.51.100.5"))


@given(st.text(max_size=300))
def test_whatever_is_pasted_gives_one_address_or_none(text: str) -> None:
    assert len(asked(text)) != 1 or parse(text).client.is_address


@given(
    st.ip_addresses(), st.text(st.characters(categories=("L", "P", "Zs")), max_size=40).filter(lambda t: "[" not in t)
)
def test_the_zones_own_words_win_over_what_stands_around_them(address: object, noise: str) -> None:
    text = f"{noise} Client host [{address}] blocked using bl.example.net; {noise} 198.51.100.77 {noise}"
    assert parse(text).client == Client.from_text(str(address))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[1.2.3.4]" + ":" * 99_999,
        "?ip=" * 50_000,
        "1.2.3.4 " * 50_000,
        "client host " * 50_000,
        "a:" * 99_999,
        "host a" * 50_000,
        "\n> " * 50_000,
        "listed at " * 20_000 + "a." * 50_000,
    ],
)
def test_a_flood_is_cut_off(text: str) -> None:
    assert len(text) > MOST
    assert len(asked(text)) <= 10


@pytest.mark.parametrize(
    "text", ["", "not ours: call 0900", "<b>", "a..b", ".a", "a" * 64, "a." * 127 + "aaa", "a.b\n"]
)
def test_what_can_be_no_zone_is_none(text: str) -> None:
    assert read_zone(text) == ""
    assert read_zone("BL.example.net") == "bl.example.net"


def asked(text: str) -> tuple[Client, ...]:
    """Give the address that is found, or all between which nobody can choose."""
    try:
        return (parse(text).client,)
    except UnclearError as unclear:
        return unclear.found
