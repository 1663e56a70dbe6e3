"""What one line says of one client: the value that every component's `parse` gives and `join` takes.

A parser copies `client` from the place where the daemon itself writes the address, and nothing else: what a client
can choose never reaches `client`, `reply`, `session` or `queue`. `client` is "" where the line names none: then `join`
asks `session`, `queue` and `mid`, in that order, whose it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from repzone.model import Client


class Kind(Enum):
    """What a line means for the session that it belongs to."""

    CONNECT = "connect"  # a session begins
    OFFENCE = "offence"  # `reason` was done, `count` times
    LOGIN = "login"  # the client proved to be a user of ours
    QUEUED = "queued"  # `queue` is this client's message; `login` when a user of ours sent it
    FAULT = "fault"  # a failure on our side: counted by the daemon, no offence
    DISCONNECT = "disconnect"  # a session ends; `failed` holds the daemon's own counters
    UNOWNED = "unowned"  # `queue` names a message of no client that is known, whosever it was before
    NAMED = "named"  # `queue` has the Message-ID `mid`
    DMARC_FAILED = "DMARC failed"  # `queue` failed DMARC, which is an offence only when the server acts on it
    HELD = "held"  # a milter had the message `queue` put on hold; why is not told
    ACCEPTED = "accepted"  # the message `queue` was taken in: clean traffic of its client
    PASSED = "passed"  # greylisting let `client`, `sender`, `recipient` through
    DELIVERED = "delivered"  # the message `queue` reached `recipient`
    REMOVED = "removed"  # the message `queue` is gone


@dataclass(slots=True)  # not frozen, which would cost more than all the rest of a line
class Fact:
    """What a line says of a client; `reply` is the part of a refusal that only our server can have written."""

    kind: Kind
    client: str  # as the daemon wrote it; `parse_client` reads it
    component: str
    at: int
    reason: str = ""
    count: int = 1
    session: str = ""  # names the session on its server; "" when the line tells none
    queue: str = ""  # names the message on its server
    mid: str = ""  # the Message-ID as the sender chose it, without brackets; two clients may choose the same one
    sender: str | None = None  # envelope addresses as the client chose them, "" for `<>`, None when not told:
    recipient: str | None = None  # join hashes them, nothing else sees them
    stage: str = ""  # the SMTP command before it
    reply: str = ""
    detail: str = ""  # evidence for people: no secrets, no mail addresses
    text: str = ""  # the whole message, where its daemon logs it twice
    login: bool = False
    verdict: bool = False  # judges the message `queue` as a whole, which other components may do too
    later: bool = False  # the line that names the client of `queue` or `mid` may come behind this one
    traffic: bool = False  # this connection adds to the clean traffic of its client
    users: bool = False  # the service is one that users of ours log in at
    echo: bool = False  # only says again, in the session, what earlier lines of it said, if they told as many
    server: str = ""  # where a line was written that tells of a login and may name no session
    database: str = ""  # the password database that tells of a login, as the service that asked it does too
    failed: tuple[int, int] | None = None  # failed AUTH and unknown commands, when the daemon counts them


@lru_cache(maxsize=4096)
def parse_client(text: str) -> Client | None:
    """Read an address as daemons write it (`IPv6:`, `%zone`, `/32`, `::ffff:192.0.2.1`); None when it is none."""
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    text = text.removesuffix("/128" if ":" in text else "/32")
    try:
        client = Client.from_text(re.sub(r"%[\w.-]*+\Z", "", text))
    except ValueError:
        return None
    return client if client.is_address else None


ADDRESS = r"(?:[Ii][Pp][Vv]6:)?[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,16})?"
"""The pattern of an address in a log line; only `parse_client` tells whether it is one."""

_ANGLE = re.compile(r"<[^<>]*+>")
_LIMIT = 200


_SECRET = re.compile(
    r"(?i)\b(pass(?:word|wd|phrase)?|pwd|secret|token|credentials?)\b *[=:] *\S++"
    r"|\b(AUTH(?:ENTICATE)? (?:PLAIN|LOGIN|CRAM-MD5|DIGEST-MD5|NTLM|X?OAUTH\w*)) +\S++"
)


def clean(text: str, *names: str | None) -> str:
    """Make a text fit to be evidence: mail addresses, the local parts of those that are named, and what looks like a
    credential become `<…>`, control characters escapes; at most 200 long.
    """
    if len(text) > 4 * _LIMIT:
        text = text[: 4 * _LIMIT].rpartition(" ")[0]  # half a mail address is one too
    if "<" in text:
        text = _ANGLE.sub("<…>", text)
    if "@" in text or "%40" in text:
        text = " ".join("<…>" if "@" in word or "%40" in word else word for word in text.split(" "))
    for name in names:
        local = (name or "").partition("@")[0]
        if len(local) > 1:
            text = re.sub(rf"(?<![\w.]){re.escape(local)}(?![\w.]*\w)", "<…>", text)
    text = _SECRET.sub(lambda found: f"{found[1] or found[2]} <…>", text)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= _LIMIT else text[: _LIMIT - 1] + "…"
