"""Which part of a refusal is ours, whatever the client put around it."""

from __future__ import annotations

import pytest

from repzone.logs import postfix_reply

TAIL = "; from=<a@b.example> to=<c@here.example> proto=SMTP helo=<x>"
URL = "https://postmaster.example.net/?ip=192.0.2.7"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"550 5.7.1 Refused, see {URL}{TAIL}", f"Refused, see {URL}"),
        (f"550 5.7.1 <c@here.example>: Recipient address rejected: see {URL}{TAIL}", f"see {URL}"),
        (
            "554 Service unavailable; Client host [192.0.2.7] blocked using l.example; t; proto=SMTP",
            "blocked using l.example; t",
        ),
        ("550 5.7.1 Service unavailable; client [2001:db8::7] blocked using l.example", "blocked using l.example"),
        (
            "554 5.7.1 Service unavailable; Sender address [x@y.example] blocked using l.example",
            "blocked using l.example",
        ),
        # what the client sent, in every place where Postfix quotes it
        (f"550 5.1.1 <{URL}@here.example>: Recipient address rejected: User unknown{TAIL}", "User unknown"),
        (f"550 5.1.1 <x>: Recipient address rejected: {URL}@y>: Recipient address rejected: User unknown{TAIL}", ""),
        (f"550 5.1.1 <a {URL}@y>: Recipient address rejected: User unknown{TAIL}", ""),
        (
            f"550 5.1.1 <a@y>: Recipient address rejected: User unknown; from=<{URL}> to=<a@y> proto=SMTP",
            "User unknown",
        ),
        (
            f"554 5.7.1 Service unavailable; Sender address [{URL}@y] blocked using l.example{TAIL}",
            "blocked using l.example",
        ),
        (
            "554 5.7.1 Unavailable; Sender address [a] blocked using bl.example.net; b@y] blocked using l.example",
            "",
        ),
        ("554 5.7.1 Unavailable; Sender address [a b@y] blocked using l.example", "Unavailable; Sender address "),
        (
            f"554 5.7.1 Unavailable; Sender address [{URL}; from=<@y] blocked using l.example{TAIL}",
            "Unavailable; Sender address ",
        ),
        (
            f"554 5.7.1 No; Sender address [192.0.2.7] {URL}; from=<@y] blocked using l.example{TAIL}",
            "No; Sender address ",
        ),
        (f"554 5.7.1 Client host [192.0.2.7] listed, see {URL}{TAIL}", f"Client host [192.0.2.7] listed, see {URL}"),
        # what somebody else's server said
        (f"550 5.1.7 <a@y>: Sender address rejected: undeliverable address: host m[203.0.113.1] said: {URL}{TAIL}", ""),
        (f"550 5.7.1 <a@y>: Recipient address rejected: SPF fail, see {URL}{TAIL}", ""),
    ],
)
def test_only_what_the_server_wrote_shows_who_refused(text: str, wanted: str) -> None:
    assert postfix_reply.parse(text).server_written == wanted


def test_a_forged_refusal_inside_an_address_does_not_change_the_reason() -> None:
    forged = "<x>: Recipient address rejected: unverified address: later@y>: Recipient address rejected: User unknown"
    assert postfix_reply.reason(postfix_reply.parse(f"550 5.1.1 {forged}{TAIL}"), "RCPT") == "unknown_recipient"


def test_an_address_that_could_not_be_verified_is_no_offence_though_another_server_s_words_blur_it() -> None:
    said = "unverified address: host m[203.0.113.1] said: 450 4.2.0 <c@here.example>: Recipient address rejected: later"
    reply = postfix_reply.parse(f"450 4.1.1 <c@here.example>: Recipient address rejected: {said}{TAIL}")
    assert postfix_reply.reason(reply, "RCPT") is None


def test_evidence_shows_neither_sender_nor_recipient() -> None:
    text = "550 5.1.1 <c@here.example>: Recipient address rejected: no c@here.example, a@b.example" + TAIL
    assert postfix_reply.parse(text).detail == "550 5.1.1 Recipient address rejected: no <…> <…>"
