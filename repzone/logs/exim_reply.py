"""What an Exim ACL refused and why in, the reason and the server-written part out (smtp_in.c, smtp_handle_acl_fail).

    RCPT <ADDRESS>: TEXT      MAIL, ETRN, EXPN, VRFY, AUTH, STARTTLS, EHLO or HELO: the same
    after DATA: TEXT          DATA, during MIME ACL checks, by local_scan(): the same, with nothing of the client's
    connection in "connect" ACL: TEXT

TEXT is what the ACL's `message` or `log_message` says. It is taken as ours only where it is certain where it begins,
and where it holds no sign of an address or of another server's words.
"""

from __future__ import annotations

import re

WHAT = (
    r"(?:RCPT|MAIL(?:AUTH)?|ETRN|ATRN|EXPN|VRFY|AUTH|STARTTLS|EHLO or HELO|connection|after DATA(?: PRDR)?|DATA|PREDATA"
    r"|during MIME ACL checks|by local_scan\(\)|DKIM|WELLKNOWN)"
)
"""The pattern of what was refused, as Exim names it."""

_BARE = ("after DATA", "DATA", "PREDATA", "during MIME ACL checks", "by local_scan()", "after DATA PRDR")
_ARGUMENT = re.compile(r' (?:(?P<plain><[^<>\s"()\\]*+>|in "[\w-]++" ACL)|.*?): ')
_FOREIGN = re.compile(r'[@<>"]|response to|\bsaid\b|callout|\bspf\b|openspf', re.IGNORECASE)
_ZONE = re.compile(
    r"(?:listed (?:in|at|on|by)|(?:black|block) ?list (?:in|at)|found in|blocked (?:at|by|in)|(?:dns|r)bl(?: at)?):? "
    r"(?:dnsbl )?(?P<zone>[\w-]++(?>(?:\.[\w-]++)+))",
    re.IGNORECASE,
)

_TEXTS = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"\bgr[ae]y-?list|is not yet authorized to deliver mail from", "greylisted"),  # the latter Debian's greylistd
        (r"locally black-?list|local black-?list", ""),
        (
            r"failing address in \"|syntax check|headers? fail"
            r"|(?:message|header|line)s? (?:is |are )?too (?:big|large|long)|line length"
            r"|\bbare (?:CR|LF)\b|\Asyntax error: .{0,60}\bheader",
            "data_rejected",
        ),
        (r"no (?:valid|verifiable) sender", "sender_verify_failed"),
        (r"virus|malware|infected|trojan|clamav", "virus_found"),
        (
            r"(?:banned|blacklisted|dangerous|forbidden|executable|prohibited) (?:file|attachment|ext)",
            "banned_attachment",
        ),
        (
            r"\b(?:dns|r)bls?\b|dnslist|(?:black|block|deny)-?list|blocked using|\blisted (?:in|at|on|by)\b"
            r"|spamhaus|spamcop|barracuda|sorbs|uceprotect",
            "dnsbl_listed",
        ),
        (r"spam ?trap|honey ?pot|trap address", "spamtrap"),
        (r"\bdmarc\b", "dmarc_fail"),
        (r"\bspf\b|openspf", "spf_fail"),
        (r"rate-?limit|rate limit|too (?:many|fast|much)|exceed(?:s|ed)? .{0,40}limit|limit exceeded", "rate_limit"),
        (r"spam|\bhits=|\bscored?\b|\bUBE\b", "spam_rejected"),
        (r"sender verif|verify sender|sender callout", "sender_verify_failed"),
        (
            r"not permitted to relay|relay(?:ing)?\b.{0,30}(?:not permitted|denied|prohibited|not allowed)",
            "relay_denied",
        ),
        (r"relay not permitted|authentication (?:is )?required|must authenticate", "relay_denied"),
        (r"does not match any IP|(?:reverse|forward).{0,30}(?:mismatch|not match)", "rdns_mismatch"),
        (r"host lookup failed|failed to find host name|reverse dns|\br?dns name|\bPTR\b|\brdns\b", "rdns_missing"),
        (r"restricted characters|syntax error in address|malformed (?:address|local part)", "bad_address_syntax"),
        (r"\b(?:helo|ehlo)\b", "helo_rejected"),
    )
)
_NO_USER = re.compile(
    r"unknown (?:user|local|recipient|address)|unroute?able|no such|user (?:unknown|not found)|does not exist"
    r"|mailbox (?:unavailable|not found)|no mailbox|(?:invalid|unknown) (?:recipient|mailbox|user)|not a valid"
    r"|recipient callout|all relevant MX records|unknown or illegal|not known here|was: 5\d\d",
    re.IGNORECASE,
)
_OURS = re.compile(
    r"did not complete|not complete|lookup|timed? ?out|time-?out|not available|unable to|failed to|cannot|could not"
    r"|can't|internal|database|connect|acl condition|acl_smtp_mime|callout|error",
    re.IGNORECASE,
)
_LATER = re.compile(
    r"deferred|temporar|try (?:again )?later|\blocal ?host\b|\bfull\b|quota|insufficient|load average", re.IGNORECASE
)
_BROKEN = re.compile(r"database (?:is )?not available", re.IGNORECASE)
_BY_WHAT = {
    "RCPT": "recipient_rejected",
    "MAIL": "sender_rejected",
    "MAILAUTH": "sender_rejected",
    "EXPN": "vrfy_expn",
    "VRFY": "vrfy_expn",
    "AUTH": "auth_policy_refused",
    "EHLO or HELO": "helo_rejected",
    "connection": "client_denied",
    "after DATA": "content_rejected",
    "after DATA PRDR": "content_rejected",
    "during MIME ACL checks": "content_rejected",
    "by local_scan()": "content_rejected",
    "DATA": "data_rejected",
    "PREDATA": "data_rejected",
    "DKIM": "content_rejected",
}


def split(what: str, rest: str) -> tuple[str, bool]:
    """Give TEXT of what stands behind WHAT, and whether it is certain that all of it is ours."""
    if what in _BARE:
        return (rest[2:], True) if rest.startswith(": ") else ("", False)
    match = _ARGUMENT.match(rest)
    return (rest[match.end() :].strip(), match["plain"] is not None) if match is not None else ("", False)


def reason(what: str, text: str, temporary: bool = False) -> str | None:
    """Give the reason of a refusal, None when it is no offence: the fault is on our side."""
    if temporary and not text:
        return None
    told = next((name for pattern, name in _TEXTS if pattern.search(text)), None)
    if temporary and _is_ours(text, told):
        return None
    if told == "relay_denied" and what == "AUTH":
        told = None
    if told:
        return told
    if told is None and _NO_USER.search(text):
        return "sender_verify_failed" if what == "MAIL" else "unknown_recipient"
    return _BY_WHAT.get(what, "command_rejected")


def _is_ours(text: str, told: str | None) -> bool:
    """Tell whether what a temporary refusal says is a trouble of ours, not what it says of the client."""
    if told in ("greylisted", "rate_limit", "dnsbl_listed"):
        return _BROKEN.search(text) is not None
    return _OURS.search(text) is not None or (not told and _LATER.search(text) is not None)


def server_written(text: str) -> str:
    """Give what proves who refused, a zone as `blocked using ZONE`; "" where another may have put words into it."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if _FOREIGN.search(text):
        return ""
    zone = _ZONE.search(text)
    return f"blocked using {zone['zone']} {text}" if zone is not None else text
