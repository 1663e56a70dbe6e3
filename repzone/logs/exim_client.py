"""An Exim message in, its client out: `NAME (HELO) [ADDRESS]:PORT`, NAME and HELO optional (host.c, host_and_ident).

NAME is a host name that Exim checked in the DNS, so it holds no bracket. HELO may hold anything where
`helo_accept_junk_hosts` lets it, and so may the commands and addresses around it. So the client is an address that
fits its place both by what stands before it and by what stands behind it, and a line with two such has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "exim"
FIELDS = (
    r'(?>(?: (?![ADFHP]=)[A-Z][A-Za-z]{0,4}\*?=(?:"[^"]*+"|\[[^\]\s]*+\](?::\d{1,5})?|[^\s:]*+(?>(?::++[^\s:]++)*))'
    r"| TFO\*?| \(via inetd\))*)"
)
"""The pattern of I=, Ci=, U=, X=, CV=, DN=, SNI= and the like, which stand behind the client."""
END = r"(?:: \d{1,9} Time\(s\))?\s*\Z"
"""What a pattern ends with that reaches to the end of the line, behind which a condensed log has how often it came."""

# Exim's own stamp and pid may stand in the syslog message too, which is split into `[1/3] …` when it is long (log.c).
_LEAD = re.compile(
    r"(?:\[1(?P<cut>[/\\])\d{1,4}\] )?(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?(?: [+-]\d{4})? )?"
    r"(?:\[(?P<pid>\d{1,10})\] )?(?:(?P<queue>\w{6}-(?:\w{6}-\w\w|\w{11}-\w{4})) )?"
)
_NAME = re.compile(r"[^\s()\[\]]++ ")
_BRACKET = re.compile(rf"\[(?P<client>{ADDRESS})\](?::\d{{1,5}})?")
_THINKABLE = re.compile(r"\s|:\s|\Z")
_QUOTING = re.compile(rf'{FIELDS} (?:\(|malformed address: |"@" or |address is ridiculously long: )')
_CUT_SYSLOG, _CUT = 900, 8_000  # longer messages may have lost their end, and with it the client
_MOST = 16  # more places that could be the client's are an attack
_MINUTES = 300


@dataclass(frozen=True, slots=True)
class Line:
    """A message without its stamp and pid; `cut` when its end may be missing."""

    header: Header
    text: str
    pid: str
    queue: str
    cut: bool

    def fact(
        self,
        kind: Kind,
        client: str,
        reason: str = "",
        *,
        detail: str = "",
        stage: str = "",
        reply: str = "",
        mid: str = "",
        sender: str | None = None,
        recipient: str | None = None,
        login: bool = False,
        verdict: bool = False,
        traffic: bool = False,
        echo: bool = False,
    ) -> Fact:
        """Build a fact; where the log tells no pid, a session is what a client does within the same five minutes."""
        header = self.header
        name = self.pid or (f"{client} {header.at // _MINUTES}" if client else "")
        return Fact(
            kind,
            client,
            COMPONENT,
            header.at,
            reason,
            header.repeat,
            session=f"{header.host} exim {name}" if name and not traffic else "",
            queue=f"{header.host} {self.queue}" if self.queue else "",
            mid=mid,
            sender=sender,
            recipient=recipient,
            stage=stage,
            reply=reply,
            detail=detail,
            text=self.text if header.host and self.pid else "",
            login=login,
            verdict=verdict,
            traffic=traffic,
            echo=echo,
        )


def split(header: Header) -> Line:
    """Take stamp, pid and queue id from a message."""
    message = header.message
    lead = _LEAD.match(message)
    if lead is None:
        return Line(header, message, header.pid, "", True)
    cut = lead["cut"] == "/" or len(message) > (_CUT_SYSLOG if header.host else _CUT)
    return Line(header, message[lead.end() :], lead["pid"] or header.pid, lead["queue"] or "", cut)


def ends(line: Line, separator: str, start: int = 0) -> Iterator[int]:
    """Give where each `separator` behind `start` ends."""
    at = line.text.find(separator, start)
    while at >= 0:
        yield at + len(separator)
        at = line.text.find(separator, at + 1)


def find(line: Line, starts: Iterable[int], tail: re.Pattern[str]) -> tuple[str, re.Match[str]] | None:
    """Give the client and the match of `tail` behind it; None unless the line can name one client only.

    Another client must not even be thinkable; where `tail` reaches to the end of the line, only texts that end with
    the client's own make one.
    """
    found: dict[str, re.Match[str] | None] = {}
    thinkable = _QUOTING if tail.pattern.endswith(END) else _THINKABLE
    places = 0
    for start in starts:
        places += 1
        if places > _MOST:
            return None
        for place in _places(line, start):
            places += 1
            if places > _MOST:
                return None
            match = tail.match(line.text, place.end())
            if match is not None or thinkable.match(line.text, place.end()):
                found[place["client"]] = found.get(place["client"]) or match
    client, match = next(iter(found.items()), ("", None))
    return (client, match) if len(found) == 1 and match is not None else None


def _places(line: Line, start: int) -> Iterator[re.Match[str]]:
    """Give the brackets that may be the client's by what stands before them; a cut line may hide another one."""
    text = line.text
    named = _NAME.match(text, start)
    first = named.end() if named is not None else start
    bare = _BRACKET.match(text, first)
    if bare is not None:
        yield bare
    elif text.startswith("(", first) and not line.cut:
        for bracket in _BRACKET.finditer(text, first + 1):
            if text.endswith(") ", first, bracket.start()):
                yield bracket
