"""The octets of a mail that reached a spamtrap in, an event out; MailError when nothing tells for sure who sent it.

The client is what the named MX wrote into its own Received header, and nothing else: all that is below was sent by
that client. On top of it may lie headers of hops that are ours: a delivery by LMTP, a filter on the same machine that
handed the mail back. Their grammars, where only the address is certain and the rest may be the client's choice:

    from HELO (RDNS [IP]) (TLS) by HOST                   Postfix, OpenSMTPD, Haraka
    from HELO (IDENT@RDNS [IP] (may be forged)) by HOST   Sendmail
    from RDNS ([IP]:PORT helo=HELO ident=IDENT) by HOST   Exim, when the name was verified
    from [IP] (port=PORT helo=HELO ident=IDENT) by HOST   Exim, else
    from RDNS (HELO HELO) (INFO@IP) by HOST               qmail
"""

from __future__ import annotations

import re
from functools import lru_cache

from repzone.logs.fact import ADDRESS, parse_client
from repzone.logs.mail import MailError, fields, instant, split
from repzone.model import Client, Event

_LONGEST = 4096  # characters of a Received header
_COMMENTS = r"(?>(?:\((?>(?:[^()\[\]]++|\([^()\[\]]*+\))*)\) )*)"  # without brackets: no second address
_HOST = r"(?!(?:HELO|EHLO) )(?:[^\s()\[\]=@]++@)?(?:[\w.:-]++|<unknown>) "
_FROM = "|".join(
    (
        rf"\S++ \((?:{_HOST})?\[(?P<a>{ADDRESS})\](?: \(may be forged\))?\) {_COMMENTS}",
        rf"[\w.:-]++ \(\[(?P<b>{ADDRESS})\](?::\d++)?(?: port=\d++)?(?: helo=[^\s()]++)?(?: ident=[^\s()]++)?\) ",
        rf"\[(?P<c>{ADDRESS})\](?::\d++)? (?:\((?:port=\d++ ?)?(?:helo=[^\s()]++ ?)?(?:ident=[^\s()]++)?\) )?",
        rf"\S++ (?:\((?:HELO|EHLO) [^\s()]*+\) )?\((?>(?:[^\s()@]*+@)*)(?P<d>{ADDRESS})\) ",
    )
)
_TAKEN = re.compile(rf"from (?:{_FROM})(?P<by>by \S++)(?: \([^()]*+\))?(?: with (?P<protocol>\w++))?", re.ASCII)
_LMTP = re.compile(r"from \S++ (?>(?:\([^()]*+\) )*)by \S++(?: \([^()]*+\))? with (?:UTF8)?LMTP", re.ASCII)
_LOOPBACK = (Client.from_text("127.0.0.0/8"), Client.from_text("::1"))


def parse(mail: bytes, trusted: tuple[str, ...]) -> Event:
    """Give the offence of the client that the topmost header of one of the `trusted` MX names."""
    written = _written_by(trusted)
    for name, value in fields(split(mail)[0]):
        if name != "received":
            continue
        times = len(written.findall(value))
        if times == 0 or (times == 1 and _LMTP.match(value)):
            continue
        taken = _TAKEN.match(value) if times == 1 and len(value) <= _LONGEST else None
        client = _client(taken) if taken and written.fullmatch(taken["by"]) else None
        if taken is None or client is None:
            raise MailError("the Received header of the trusted MX names no client for sure")
        if any(network.covers(client) for network in _LOOPBACK):
            continue
        return _event(client, taken, value)
    raise MailError(f"no Received header was written by {' or '.join(trusted)}")


@lru_cache(maxsize=8)
def _written_by(trusted: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(re.escape(name.rstrip(".")) for name in trusted)
    return re.compile(rf"\bby (?:{names})\.?(?![\w.-])", re.IGNORECASE)


def _client(taken: re.Match[str]) -> Client | None:
    groups = taken.groupdict()
    return parse_client(next(groups[name] for name in "abcd" if groups[name]))


def _event(client: Client, taken: re.Match[str], value: str) -> Event:
    if (taken["protocol"] or "").upper().endswith(("SMTPA", "SMTPSA")):  # RFC 3848
        raise MailError("was sent by a user of ours, who had logged in")
    at = instant(re.sub(r"\([^()]*+\)", "", value.rpartition(";")[2]))
    if at is None:
        raise MailError("the Received header of the trusted MX has no date")
    return Event(at, client, "spamtrap", component="spamtrap", detail="mail to a spamtrap")
