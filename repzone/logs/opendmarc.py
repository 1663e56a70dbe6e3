"""A result of OpenDMARC in, what it says of the message out (opendmarc.c, `mlfi_eom`; 1.0 to 1.4).

    QUEUEID: DOMAIN fail                             also pass, none, temperror
    QUEUEID: SPF(mailfrom): DOMAIN fail              its own look at SPF, and no result

DOMAIN is the From header's, which the sender chose. `fail` reads the same whether that domain asks for rejection, for
quarantine or for nothing, as a mailing list's members may: what the server then does to the message tells.
"""

from __future__ import annotations

import re

from repzone.logs.fact import Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "opendmarc"

_FAIL = re.compile(r"(?P<queue>[0-9A-Za-z]{5,32}): [^\s:()]++ fail\s*")


def parse(header: Header) -> Fact | None:
    """Give that a message failed, None for any other line."""
    match = _FAIL.fullmatch(header.message)
    if match is None:
        return None
    return Fact(Kind.DMARC_FAILED, "", COMPONENT, header.at, queue=f"{header.host} {match['queue']}")
