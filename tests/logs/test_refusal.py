"""The words of a refusal tell its reason, and whether it is the client's."""

from __future__ import annotations

import pytest

from repzone.logs import refusal


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("User unknown", "550", "unknown_recipient"),
        ("5.1.1 No such user here", "550", "unknown_recipient"),
        ("Sorry, no mailbox here by that name", "550", "unknown_recipient"),
        ("Relaying denied. Proper authentication required.", "550", "relay_denied"),
        ("I cannot deliver mail for <greylisted@far.example>", "550", "relay_denied"),
        ("Domain of sender address spf@b.example does not exist", "553", "sender_domain_not_found"),
        ("Greylisted, please try again later", "451", "greylisted"),
        ("Connection rate limit exceeded.", "421", "rate_limit"),
        ("Too many open connections.", "421", "connection_limit"),
        ("Too many concurrent connections", "421", "connection_limit"),
        ("Too many unrecognized commands", "550", "too_many_errors"),
        ("Rejected: IP in SpamCop blacklist", "550", "dnsbl_listed"),
        ("Temporary lookup failure of 192.0.2.7 at rbl.public.example", "451", None),
        ("rejected by DMARC policy for virus.spamhaus.example", "550", "dmarc_fail"),
        ("SPF check failed", "550", "spf_fail"),
        ("very bad karma score: -9", "550", "spam_rejected"),
        ("Message contains unacceptable attachment (a.exe)", "550", "banned_attachment"),
        ("Message is infected with X", "550", "virus_found"),
        ("HELO host name invalid", "550", "helo_rejected"),
        ("client [192.0.2.7] rejected; no rDNS", "550", "rdns_missing"),
        ("Access denied", "550", ""),
        ("Access denied", "450", None),
        ("Please try again later", "451", None),
    ],
)
def test_a_text_tells_the_reason(text: str, code: str, reason: str | None) -> None:
    assert refusal.parse(text, code) == reason
