"""A mail to a spamtrap: the client is the one that the trusted MX wrote down, whatever else the mail says."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repzone.logs.mail import LARGEST, MailError
from repzone.logs.spamtrap import parse
from repzone.model import Client, Event
from tests.logs.samples import load_samples

AT = 1_795_503_600  # 2026-11-24T07:00:00Z
MX = ("mx1.example.net", "mx2.example.net")
CASES = load_samples("received.txt")
SURE = [(wanted, header) for wanted, header in CASES if wanted != "-"]
FORGED = (
    b"Received: from x (x [198.51.100.9]) by mx1.example.net (Postfix) with ESMTP id 1; "
    b"Tue, 24 Nov 2026 06:00:00 +0000\r\n"
)
TOP = SURE[0][1].replace("{}", "host7.example.org").encode()


def mail(*received: bytes) -> bytes:
    """Give a mail whose Received headers, from the top, are these, and below them a forged one."""
    lines = b"".join(b"Received: %s\r\n" % value for value in received)
    return b"Return-Path: <a@example.org>\r\n" + lines + FORGED + b"Subject: x\r\n\r\nBuy!\r\n"


@pytest.mark.parametrize(("wanted", "header"), CASES)
def test_the_client_is_where_each_server_writes_it(wanted: str, header: str) -> None:
    text = mail(header.replace("{}", "host7.example.org").encode())
    if wanted == "-":
        with pytest.raises(MailError):
            parse(text, MX)
    else:
        event = Event(AT, Client.from_text(wanted), "spamtrap", component="spamtrap", detail="mail to a spamtrap")
        assert parse(text, MX) == event


ATTACKS = st.sampled_from(
    [
        *("[198.51.100.9]", "x (y [198.51.100.9])", "x) (198.51.100.9) (y", "[198.51.100.9] (helo=x)", "198.51.100.9"),
        *("x) by mx1.example.net (y", "x (y [198.51.100.9]) by mx1.example.net with ESMTP id 1; Tue, 24 Nov 2026", ";"),
        *("x) by mx3.example.org with SMTP (y", "x) by mx1.example.net with LMTP (y", "x [198.51.100.9]) (y", "a@b"),
        *("x [198.51.100.9] (may be forged)", "x ident=y) [198.51.100.9] (", "<unknown> [198.51.100.9]", "\\", '"'),
    ]
)
CHOSEN = ATTACKS | st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(("wanted", "header"), SURE)
@settings(max_examples=40)
@given(chosen=st.lists(CHOSEN, min_size=1, max_size=3).map(" ".join))
def test_what_a_client_chooses_never_names_another(wanted: str, header: str, chosen: str) -> None:
    try:
        event = parse(mail(header.replace("{}", chosen).encode()), MX)
    except MailError:
        return
    assert (str(event.client), event.at) == (wanted, AT)


@given(below=st.lists(CHOSEN, max_size=4))
def test_nothing_below_the_trusted_header_matters(below: list[str]) -> None:
    assert parse(mail(TOP, *(text.encode() for text in below)), MX) == parse(mail(TOP), MX)


@pytest.mark.parametrize(
    "hop",
    [
        b"from mx1.example.net by mx1.example.net with LMTP id abc (envelope-from <a@example.org>); Tue, 24 Nov 2026 "
        b"08:00:01 +0100",
        b"from mx1.example.net ([192.0.2.25]) by mx1.example.net with LMTPS id abc; Tue, 24 Nov 2026 08:00:01 +0100",
        b"from localhost (localhost [127.0.0.1]) by mx1.example.net (Postfix) with ESMTP id B; Tue, 24 Nov 2026 "
        b"08:00:01 +0100",
        b"from localhost (localhost [IPv6:::1]) by mx1.example.net (Postfix) with ESMTP id B; Tue, 24 Nov 2026 "
        b"08:00:01 +0100",
        b"from mx1.example.net ([127.0.0.1]) by localhost (mx1.example.net [127.0.0.1]) (amavisd-new, port 10024) "
        b"with ESMTP id C; Tue, 24 Nov 2026 08:00:01 +0100",
        b"from mx1.example.net (mx1.example.net [192.0.2.25]) by store.example.net (Postfix) with ESMTP id D; Tue, 24 "
        b"Nov 2026 08:00:01 +0100",
        b"(qmail 4711 invoked by uid 89); 24 Nov 2026 07:00:01 -0000",
    ],
)
def test_hops_of_our_own_above_the_trusted_header_are_passed_over(hop: bytes) -> None:
    assert parse(mail(hop, TOP), MX) == parse(mail(TOP), MX)


def test_headers_are_unfolded_and_names_compared_without_case() -> None:
    folded = TOP.replace(b" by mx1.example.net", b"\r\n\tby MX1.Example.NET").replace(b"; ", b";\r\n   ")
    assert parse(mail(folded), MX) == parse(mail(TOP), MX)
    assert parse(b"From a@example.org Tue Nov 24 07:00:00 2026\n" + mail(folded), MX) == parse(mail(TOP), MX)


@pytest.mark.parametrize("by", [b"xmx1.example.net", b"mx1.example.net.evil.example.org", b"mx1xexample.net"])
def test_a_name_that_only_looks_like_the_mx_is_not_trusted(by: bytes) -> None:
    text = b"Received: " + TOP.replace(b"mx1.example.net", by) + b"\r\n\r\n"
    with pytest.raises(MailError, match=r"no Received header was written by mx1\.example\.net or mx2\.example\.net"):
        parse(text, MX)


@given(text=st.binary(max_size=300) | st.tuples(st.just(TOP), st.binary(max_size=80)).map(b"".join))
def test_no_mail_makes_it_fail_otherwise(text: bytes) -> None:
    for whole in (text, b"Received: " + text):
        with suppress(MailError):
            parse(whole, MX)


@pytest.mark.parametrize(
    "piece", [b"a", b"(", b"a (", b" ", b"\n", b"Received: from ", b"a [", b"by mx1.example.net ", b";", b"(a) ", b"a@"]
)
def test_the_largest_mails_cost_little(piece: bytes) -> None:
    text = (b"Received: from " + piece * LARGEST)[: LARGEST - 1]
    small = b"Received: from " + piece * (200_000 // len(piece)) + b"\r\n\r\n"
    begin = time.process_time()
    for mail_text in (text, small):
        with pytest.raises(MailError):
            parse(mail_text, MX)
    assert time.process_time() - begin < 0.5
