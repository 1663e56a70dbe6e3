"""What a visitor pasted in, the address that it is about out; nothing of it is kept.

That is one address, or a whole rejection: the text of our own answer, Postfix's reply around it, or what a mail server
made of both, as quoted-printable too. A rejection names other addresses (the server that refused): these never are the
one.
"""

import re
from dataclasses import dataclass

from repzone.model import Client

MOST = 16_384
"""Characters of a rejection that are looked at."""

_ADDRESS = r"(?P<address>[0-9a-fA-F:.]{2,45})"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"client\s+host\s+\[(?:IPv6:)?{_ADDRESS}\]\s+blocked\s+using\s+(?P<zone>[a-z0-9._-]{{1,253}})",
        rf"(?:\b|^){_ADDRESS}\s+(?:(?:is\s+)?listed|is\s+in\s+a\s+black\s?list|refused\s+by\s+blackhole)\b",
        rf"[?&]ip=(?:3D(?![0-9a-f]{{0,2}}:))?(?:%5B)?{_ADDRESS}",
        rf"\[(?:IPv6:)?{_ADDRESS}\][\s:,;]{{1,4}}(?:\S{{1,64}}\s{{1,4}}){{0,6}}(?:blocked|listed|rejected)\b",
    )
)
"""The most telling first: who was refused, in Postfix's words, in ours (Exim's, Sendmail's), in our link, in others'.

What may repeat is bounded wherever it could be told apart in several ways: a flood of colons must not hold the page up.
"""

_ANY = re.compile(
    r"(?<![0-9a-zA-Z.:])\[?(?:IPv6:)?([0-9a-f]*[.:][0-9a-f:.]{2,43})\]?(?![0-9a-z]|/\d|\.[0-9a-z])",
    re.IGNORECASE,
)
"""An address by itself; `10.2.0.192.bl.example.net` is the name that was looked up, backwards, and holds none."""

_REFUSER = re.compile(
    r"\bhost\s{1,4}[a-z0-9._-]{1,253}\s?\[[^\]\s]{2,50}\](?::\d{1,5})?(?=\s{1,4}said|:)|\brelay=[^\s,]{1,300}"
    r"|\b(?:connected\s+to|giving\s+up\s+on)\s{1,4}[0-9a-f.:]{2,45}"
    r"|\b[0-9a-f.:]{2,45}\s{1,4}(?:does\s+not\s+like\s+recipient|failed\s+(?:after\s+I\s+sent|on\s+DATA))",
    re.IGNORECASE,
)
"""The server that refused, as the sender's own (Postfix, Exim, qmail) names it: never the one that is asked about."""

_QUOTED = re.compile(r"\n[>|\s]+")
_SOFT_BREAK = re.compile(r"=\r?\n")
_ZONE = re.compile(
    r"\b(?:blocked\s+using|black\s?list\s+at|listed\s+(?:at|by|in|on)|blackhole\s+site)\s+([a-z0-9_-]+(?:\.[a-z0-9_-]+)+)",
    re.IGNORECASE,
)

_APEX = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a visitor asks about: one address; the zone that the rejection named, if it did."""

    client: Client
    zone: str = ""


class UnclearError(ValueError):
    """There is no address in it, or several of which any could be meant."""

    def __init__(self, found: tuple[Client, ...] = ()) -> None:
        self.found = found
        super().__init__("no address" if not found else "several addresses")


def parse(text: str) -> Subject:
    """Find the address that is asked about; UnclearError when there is none, or nobody can tell which."""
    text = _SOFT_BREAK.sub("", re.sub("%3a", ":", text[:MOST], flags=re.IGNORECASE))
    text = _QUOTED.sub("\n", text).strip()
    alone = read_address(text)
    if alone is not None:
        return Subject(alone)
    text = _REFUSER.sub(" ", text)
    for form in _FORMS:
        found = {client: match for match in form.finditer(text) if (client := read_address(match["address"]))}
        if len(found) > 1:
            raise UnclearError(tuple(found))
        for client, match in found.items():
            zone = match.groupdict().get("zone") or _zone(text)
            return Subject(client, zone.lower().strip("."))
    anywhere = dict.fromkeys(client for match in _ANY.finditer(text) if (client := read_address(match[1])))
    if len(anywhere) != 1:
        raise UnclearError(tuple(anywhere)[:10])
    return Subject(next(iter(anywhere)))


def read_address(text: str) -> Client | None:
    """Read one address, also as `[192.0.2.1]`, `192.0.2.1:25`, `192.0.2.1.` or `IPv6:2001:db8::1`; None otherwise."""
    text = text.strip().strip("[]").removesuffix(".").rstrip(":") if not text.endswith("::") else text.strip()
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    if "." in text and text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        client = Client.from_text(text)
    except ValueError:
        return None
    return client if client.is_address and "/" not in text else None


def read_zone(text: str) -> str:
    """Read the name of a zone; "" for what can be none, so that no link puts words of its own on the page."""
    return text.lower() if _APEX.fullmatch(text) else ""


def _zone(text: str) -> str:
    match = _ZONE.search(text)
    return match[1][:253] if match else ""
