"""A verdict in, a reminder of the release for a calendar out (RFC 5545)."""

import hashlib
from datetime import UTC, datetime

from repzone.web.messages import Language
from repzone.web.verdict import Verdict

MAX_LINE = 75
"""Octets of a content line, without its end (RFC 5545 §3.1)."""


def reminder(verdict: Verdict, t: Language, name: str, url: str) -> str:
    """Write an event at the release of an address, with an alarm at that minute.

    It has no DTEND: that would have to be later than its start (RFC 5545 §3.8.2.2); without one it takes no time.
    """
    begin, stamp = _stamp(-(-verdict.expires // 60) * 60), _stamp(verdict.now)
    known = hashlib.sha256(f"{verdict.client} {verdict.expires} {name}".encode()).hexdigest()[:32]
    summary = t.gettext("%(ip)s is no longer blocked by %(name)s", ip=verdict.client, name=name)
    text = t.gettext("Send again the messages that were rejected; they do not return by themselves.")
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//repzone//postmaster page//EN",
        "BEGIN:VEVENT",
        f"UID:{known}@repzone",
        f"DTSTAMP:{stamp}",
        f"DTSTART:{begin}",
        f"SUMMARY:{_escape(summary)}",
        f"DESCRIPTION:{_escape(text)}",
        f"URL:{url}",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "TRIGGER:PT0S",
        f"DESCRIPTION:{_escape(summary)}",
        "END:VALARM",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return "".join(_fold(line) + "\r\n" for line in lines)


def _stamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")


def _escape(text: str) -> str:
    """Escape a TEXT value (RFC 5545 §3.3.11)."""
    for char in "\\;,":
        text = text.replace(char, "\\" + char)
    return text.replace("\n", "\\n")


def _fold(line: str) -> str:
    """Break a line that is too long between two characters (RFC 5545 §3.1)."""
    folded, size = [], 0
    for char in line:
        octets = len(char.encode())
        if size + octets > MAX_LINE:
            folded.append("\r\n ")
            size = 1
        folded.append(char)
        size += octets
    return "".join(folded)
