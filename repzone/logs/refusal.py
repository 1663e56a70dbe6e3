"""The words of a refusal in, its reason out: for servers whose texts the operator, a plugin or a milter chose.

What a text begins with counts first, since a sender or recipient that it quotes further on may hold any words.
"""

from __future__ import annotations

import re

_TEXTS = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"\ADomain of sender address |\ANo MX for your FROM|\Asender domain\b", "sender_domain_not_found"),
        (r"\ADomain name required for sender", "sender_not_fqdn"),
        (r"\ARelaying (?:temporarily )?denied|\AI cannot deliver mail for"
         r"|\A(?:unable|not (?:permitted|allowed)) to relay|\A(?:we )?(?:do not|cannot|will not) relay"
         r"|\Arelay(?:ing)? (?:access )?(?:denied|not|prohibited)", "relay_denied"),
        (r"\A(?:user|recipient|mailbox|addressee|account)\b.{0,30}\b(?:unknown|not found|disabled|unavailable|inactive"
         r"|does(?: not|n't) exist|no longer)\b|\A(?:sorry, )?no (?:such (?:user|person|recipient|mailbox|account)"
         r"|mailbox here)|\A(?:unknown|invalid) (?:user|recipient|mailbox|local[ -]part)", "unknown_recipient"),
        (r"\AFix reverse DNS|\AClient IP address .* does not resolve|\bno rDNS\b|\brDNS (?:lookup )?fail",
         "rdns_missing"),
        (r"\APossibly forged hostname|\bFCrDNS\b|does not match rDNS", "rdns_mismatch"),
        (r"\AYou talk too soon", "pregreet"),
        (r"\Arejected by DMARC policy\b", "dmarc_fail"),
        (r"\bgr[ae]y-?list", "greylisted"),
        (r"\btoo many (?:\w+ )?connections", "connection_limit"),
        (r"\brate[ -]?limit|\btoo many (?:recipients?\b.*attempts|messages|mails)|\btoo fast\b", "rate_limit"),
        (r"\btoo many (?:errors|bad|invalid|unrecogni[sz]ed)", "too_many_errors"),
        (r"virus|\binfected\b|malware|clamav", "virus_found"),
        (r"\bblock(?:ed|ing)? (?:using|by)\b|\blisted (?:at|in|on|by)\b|\b(?:dns|r)bl\b|\b(?:black|block)-?list"
         r"|spamhaus|spamcop|barracuda|\bsorbs\b", "dnsbl_listed"),
        (r"\bdmarc\b", "dmarc_fail"),
        (r"\bspf\b", "spf_fail"),
        (r"\bspam|\bkarma score", "spam_rejected"),
        (r"\battachments?\b|\bfile (?:extension|name|type)|\bdisallowed file", "banned_attachment"),
        (r"\A(?:invalid )?(?:helo|ehlo)\b", "helo_rejected"),
    )
)  # fmt: skip
_OURS = re.compile(
    r"temporary (?:\w+ )?(?:failure|error)|temp\. resolver error|try (?:again )?later|insufficient|too busy"
    r"|time(?:d )?out|(?:scan|scanner|lookup) error|internal (?:server )?error",
    re.IGNORECASE,
)
_DSN = re.compile(r"\A[45]\.\d{1,3}\.\d{1,3}:? ")
_THEIRS = {"greylisted", "rate_limit", "connection_limit"}


def parse(text: str, code: str) -> str | None:
    """Give the reason that the text tells; "" when it tells none, None when a trouble of ours stands behind it.

    `code` is the reply's, of which the first digit counts.
    """
    text = _DSN.sub("", text, count=1)
    told = next((reason for pattern, reason in _TEXTS if pattern.search(text)), "")
    if code[:1] == "4" and told not in _THEIRS and (not told or _OURS.search(text)):
        return None
    return told
