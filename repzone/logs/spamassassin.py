"""A result of SpamAssassin's spamd in, a verdict on the message that it names out (spamd.raw, `log_scan_result`).

    spamd: result: Y 11 - TEST,TEST scantime=1.2,size=6910,user=NAME,uid=499,required_score=5.0,rhost=localhost,
        raddr=127.0.0.1,rport=57429,mid=<MID>,autolearn=no

`raddr` is who asked spamd: the mail server itself. The client is that of the message with this Message-ID, as the
server's own lines tell it. `identified spam (11.3/5.0) for …` says the same again, without the Message-ID.
"""

from __future__ import annotations

import re

from repzone.logs.fact import Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "spamd"

_RESULT = re.compile(
    r"(?>(?:spamd: )?)result: (?P<spam>[Y.]) (?P<score>-?\d++) - [\w,.:=-]*+ *+scantime=[\d.]++,size=\d++,"
    r"user=[^\s,]*+,uid=[^\s,]*+,"
    r"required_score=(?P<required>-?[\d.]++),rhost=[^\s,]*+,raddr=[^\s,]*+,rport=[^\s,]*+,mid=<(?P<mid>[^<>\s]++)>,.*+",
    re.DOTALL,
)


def parse(header: Header) -> Fact | None:
    """Give the verdict; one of no spam is no offence, and still this message's own: no other's can follow it."""
    match = _RESULT.fullmatch(header.message)
    if match is None:
        return None
    return Fact(
        Kind.OFFENCE,
        "",
        COMPONENT,
        header.at,
        "spam_detected" if match["spam"] == "Y" else "",
        header.repeat,
        mid=match["mid"],
        detail=f"spam: score {match['score']} of {match['required']}",
        verdict=True,
        later=match["spam"] == "Y",
    )
