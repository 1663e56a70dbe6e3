"""A line of a program called `imapd`, `pop3d` or the like in, what it says of the client out.

Courier, Cyrus and UW IMAP use the same names. No message of one begins as a message of another does.
"""

from __future__ import annotations

from repzone.logs import courier, cyrus, uwimap
from repzone.logs.fact import Fact
from repzone.logs.syslog import Header


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when no such server wrote it or it names no client."""
    return courier.parse(header) or cyrus.parse(header) or uwimap.parse(header)
