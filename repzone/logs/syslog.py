"""Split one log line into header and message; None when it is no log line (RFC 3164 §4, RFC 5424 §6, RFC 3339).

Also journald's JSON objects, what containers' logs put around a line (docker's `name  | `, its JSON and its stamps,
CRI's `stdout F`), BSD's `<mail.info>`, BusyBox' `mail.info`, AIX' `mail:info`, Solaris' `[ID 123 mail.info]`, stamps
with a year or a zone at odd places, and the logs that Dovecot, Exim, Haraka, nginx and rspamd write themselves, with
no program in them: the form tells which.
The program's name counts only at its place, never where a client may have written it. Every pattern is linear.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from repzone.logs.stamp import YEAR_10000, Stamps


@dataclass(slots=True)  # not frozen: one is made for almost every line
class Header:
    """Where, when and by whom a message was logged; `repeat` is how many times (`message repeated 3 times`)."""

    at: int  # whole UTC seconds, truncated
    host: str
    program: str
    pid: str  # "" when the line has none
    message: str
    repeat: int = 1


_ISO = (
    r"(?P<minute>\d{4}-\d\d-\d\d[T ]\d\d:\d\d):(?P<second>\d\d)(?>(?:[.,]\d{1,9})?)"
    r"(?>(?P<offset>[Zz]| ?[+-]\d\d:?\d\d)?)"
)
_BSD = r"(?P<minute>(?:\d{4} )?[^\W\d_]{3,5}\.?  ?\d{1,2} \d\d:\d\d):(?P<second>\d\d)(?>(?:[.,]\d{1,9})?)"
_FACILITY = r"(?:auth|authpriv|daemon|local\d|mail|user)"
_WHO = (
    r" (?:<\w+\.\w+> )?(?>(?:(?P<host>[^\s\[\]()<>]++)(?<!:) )?)(?:<\w+\.\w+> )?"
    rf"(?P<program>(?!\d\d:|{_FACILITY}:[a-z]+ )[^\s\[\]:()<>]++)"
    r"(?>(?:\[(?P<pid>\d{1,10})\])?): ?+(?>(?:\[ID \d{1,10} \w+\.\w+\] )?)(?P<message>.*+)"
)
_STAMP_ISO = re.compile(_ISO)
_STAMP_BSD = re.compile(_BSD)
_LINE_ISO = re.compile(_ISO + _WHO, re.DOTALL)
_LINE_BSD = re.compile(_BSD + _WHO, re.DOTALL)
_QUOTED = r'"(?>(?:[^"\\]++|\\.)*)"'
_LINE_5424 = re.compile(
    rf"(?:1 )?{_ISO} (?P<host>\S++) (?P<program>[^\s\[\]]++)(?>(?:\[(?P<number>\d{{1,10}})\]:?)?) (?P<pid>\S++) \S++ "
    rf'(?:-|(?>(?:\[(?>(?:[^\]"\\]++|{_QUOTED})*)\])+))(?: \ufeff?(?P<message>.*+))?',
    re.DOTALL,
)
_PRI = re.compile(r"<\d{1,3}>")
_BEFORE = re.compile(  # docker compose, RFC 6587 §3.4.1, socklog
    rf"[\w.-]{{1,128}}+ *+\| |\d{{1,5}} <\d{{1,3}}>|{_FACILITY}\.[a-z]++: "
)
_TAI = re.compile(r"@40000000(?P<seconds>[0-9a-f]{8})(?P<nano>[0-9a-f]{8})(?= )")
_TAI_OFFSET = 10  # seconds that djb's clock is ahead of ours (tai_now.c)

# Zones by name: RFC 5322 §4.3, and Europe's. Another name counts as local time.
_ZONES = {
    **{"Z": "Z", "UTC": "Z", "GMT": "Z", "WET": "Z", "WEST": "+01", "BST": "+01", "CET": "+01", "CEST": "+02"},
    **{"EET": "+02", "EEST": "+03", "MSK": "+03", "EST": "-05", "EDT": "-04", "CST": "-06", "CDT": "-05"},
    **{"MST": "-07", "MDT": "-06", "PST": "-08", "PDT": "-07"},
}
_ZONE = rf"(?P<zone>[+-]\d\d(?::?\d\d)?|{'|'.join(_ZONES)})(?=[ :])"
_NAMED_ZONE = re.compile(rf" (?:{'|'.join(_ZONES)}) ")
_ODD_STAMP = re.compile(
    r"(?:[^\W\d_]{2,9}\.?,? )?(?:(?P<date>\d{4}[-/]\d\d[-/]\d\d)[T _]"
    r"|(?P<month>[^\W\d_]{2,9}\.?|\d{1,2}[月월])  ?(?P<day>\d{1,2}),?(?: (?P<year>\d{4}))? )"
    r"(?P<clock>\d\d:\d\d):(?P<second>\d\d)(?>(?:[.,]\d{1,9})?)(?: (?P<late>\d{4})(?= ))?"
    rf"(?: ?{_ZONE})?:?(?= )"
)
_ODD_WHO = re.compile(
    rf" ++(?:<\w+\.\w+> )?(?>(?:(?!{_FACILITY}\.|Message )"
    r"(?P<host>\[(?!\d++\])[\dA-Fa-f.:]++\]|[^\s\[\]()<>]++)(?<!:) )?)"
    rf"(?>(?:(?:<\w+\.\w+>|{_FACILITY}[.:][a-z]++) )?)(?>(?:Message forwarded from (?P<origin>[^\s\[\]()<>:]++): )?)"
    r"(?P<program>(?!\d\d:)[^\s\[\]:()<>]++)"
    r"(?>(?:\[(?P<pid>\d{1,10})\])?): *+(?>(?:\[ID \d{1,10} \w+\.\w+\] )?)(?P<message>.*+)",
    re.DOTALL,
)
_STREAM = re.compile(r" (?:stdout|stderr) (?P<whole>[FP]) ")  # CRI: `P` is a part of a line
_LEVEL = re.compile(rf" ++{_FACILITY}\.[a-z]++: ")  # socklog
_DEEPEST = 3  # lines within lines
_TAG = re.compile(r"[0-9a-f]{12}|docker/.*+")  # what docker's syslog and journald drivers have for a program

# What Dovecot, Exim and the like put behind the stamp in a log of their own.
_DOVECOT = r"(?:auth(?:-worker)?|(?:imap|pop3|managesieve|sieve|submission|lmtp)(?:-login)?|dovecot-auth)"
_DOVECOT_SERVICE = re.compile(_DOVECOT)
_DOVECOT_LEVELS = {"Info", "Warning", "Error", "Fatal", "Panic"}
_OWN = (
    ("dovecot", re.compile(rf" (?P<message>{_DOVECOT}(?:[(<]|: ).*+)", re.DOTALL)),
    ("rspamd", re.compile(r" #(?P<pid>\d{1,10})\([\w-]++\) (?P<message><.*+)", re.DOTALL)),
    ("haraka", re.compile(r" (?P<message>\[[A-Z]{4,8}\] \[[\w.-]++\] \[.*+)", re.DOTALL)),
)
_EXIM = re.compile(r" (?>(?:\[(?P<pid>\d{1,10})\] )?)(?P<message>.*+)", re.DOTALL)
_EXIM_LEAD = re.compile(r" (?:\[\d{1,10}\] |\w{6}-\w{6,11}-\w{2,4} )")
_EXIM_SYSLOG = re.compile(rf"(?P<host>[^\s\[\]()<>:]++) (?P<program>exim\d?)\[(?P<pid>\d{{1,10}})\]: {_ISO}(?= )")
_NGINX = re.compile(
    r"(?P<date>\d{4}/\d\d/\d\d) (?P<time>\d\d:\d\d):(?P<second>\d\d) \[\w++\] (?P<pid>\d{1,10})#\d{1,10}: "
    r"(?P<message>\*.*+)",
    re.DOTALL,
)
_REPEATED = re.compile(r"message repeated (\d{1,7}) times: \[ ?(.*)\]\s*", re.DOTALL)


def parse(line: str, stamps: Stamps, reference: int) -> Header | None:
    """Split a line; `stamps` holds the time zone of stamps without one, `reference` the instant near which it was
    written (see `stamp`). None when it is not of a known form.
    """
    first = line[:1]
    if first == "<":
        pri = _PRI.match(line)
        if pri is None:
            return None
        line = line[pri.end() :]
        return (_from_odd if line.startswith("1 ") else _from_text)(line, stamps, reference)
    if first == "{":
        return _from_object(line, stamps, reference)
    if first == "@":
        return _from_tai(line, stamps)
    header = _from_text(line, stamps, reference)
    if header is None:
        before = _BEFORE.match(line)
        if before is not None:
            header = _from_text(line[before.end() :], stamps, reference)
    return header


def _from_text(line: str, stamps: Stamps, reference: int, depth: int = 0) -> Header | None:
    iso = line[4:5] == "-"
    if iso and line[10:11] == " ":  # Exim's way, and Dovecot's; hardly any syslog's
        match = _STAMP_ISO.match(line)
        if match is not None and _EXIM_LEAD.match(line, match.end()):
            return _from_own(line, match, stamps, reference)
    match = (_LINE_ISO if iso else _LINE_BSD).fullmatch(line)
    if match is not None:
        return _from_match(match, stamps, reference, depth)
    header = _from_nginx(line, stamps) if line[4:5] == "/" else None
    if header is None:
        match = (_STAMP_ISO if iso else _STAMP_BSD).match(line) or _EXIM_SYSLOG.match(line)
        header = _from_own(line, match, stamps, reference) if match is not None else None
    return header or _from_odd(line, stamps, reference, depth)


def _from_odd(line: str, stamps: Stamps, reference: int, depth: int = 0) -> Header | None:
    """Read what hardly any log has: RFC 5424, stamps of other forms, and a line that another stamp was put before."""
    versioned = line[:2] == "1 "
    if versioned or line[10:11] == "T":
        match = _LINE_5424.fullmatch(line)
        if match is not None and (versioned or match["pid"] == "-" or match["pid"].isdigit()):
            return _from_match(match, stamps, reference, depth)
    stamp = _ODD_STAMP.match(line)
    if stamp is None:
        return None
    zone, year = stamp["zone"] or "", stamp["year"] or stamp["late"] or ""
    offset = _ZONES.get(zone, zone)
    if stamp["date"]:
        at = stamps.from_iso(f"{stamp['date'].replace('/', '-')}T{stamp['clock']}", stamp["second"], offset)
    else:
        minute = f"{year} {stamp['month']} {stamp['day']} {stamp['clock']}".lstrip()
        at = stamps.from_rfc3164(minute, stamp["second"], reference, offset)
    return _from_inner(at, line[stamp.end() :], stamps, depth) if at is not None else None


def _from_inner(at: int, rest: str, stamps: Stamps, depth: int = 0) -> Header | None:
    """Read what stands behind a stamp, from its blank on: a line with a stamp of its own, or without one."""
    stream = _STREAM.match(rest)
    if stream is not None and stream["whole"] == "P":
        return None  # what follows might be taken for a line
    start = stream or _LEVEL.match(rest)
    line = rest[start.end() if start is not None else 1 :]
    header = _from_text(line, stamps, at, depth + 1) if depth < _DEEPEST else None
    if header is not None:
        return header
    line = f" {line}"
    for program, form in _OWN:
        match = form.fullmatch(line)
        if match is not None:
            return _header(at, "", program, match.groupdict().get("pid") or "", match["message"])
    match = _ODD_WHO.fullmatch(line)
    if match is None:
        return None
    host = match["origin"] or (match["host"] or "").strip("[]")
    return _header(at, host, match["program"], match["pid"] or "", match["message"])


def _from_match(match: re.Match[str], stamps: Stamps, reference: int, depth: int) -> Header | None:
    fields = match.groupdict(default="")
    at = _instant(fields, stamps, reference)
    if at is None:
        return None
    program, pid, message = fields["program"], fields["pid"], fields["message"]
    if (len(program) == 12 or program[:7] == "docker/") and _TAG.fullmatch(program):
        return _from_inner(at, f" {message}", stamps, depth)  # what the container wrote tells the program
    return _header(at, fields["host"], program, fields.get("number", "") if pid == "-" else pid, message)


def _instant(fields: dict[str, str], stamps: Stamps, reference: int) -> int | None:
    if "offset" in fields:
        return stamps.from_iso(fields["minute"], fields["second"], fields["offset"].lstrip())
    return stamps.from_rfc3164(fields["minute"], fields["second"], reference)


def _from_own(line: str, stamp: re.Match[str], stamps: Stamps, reference: int) -> Header | None:
    """Read a line of a log that a daemon writes itself, from the end of its stamp on."""
    fields = stamp.groupdict(default="")
    at = _instant(fields, stamps, reference)
    if at is None:
        return None
    for program, form in _OWN:
        match = form.fullmatch(line, stamp.end())
        if match is not None:
            return _header(at, "", program, match.groupdict().get("pid") or "", match["message"])
    is_exim = fields["minute"][10:11] == " " and "offset" in fields  # Exim has no other stamps
    is_exim = is_exim and not _NAMED_ZONE.match(line, stamp.end())
    match = _EXIM.fullmatch(line, stamp.end()) if is_exim else None
    if match is None:
        return None
    return _header(at, fields.get("host", ""), "exim", match["pid"] or fields.get("pid", ""), match["message"])


def _from_tai(line: str, stamps: Stamps) -> Header | None:
    """Read a stamp of multilog (tai64n), which Dovecot's and qmail's logs have."""
    stamp = _TAI.match(line)
    if stamp is None:
        return None
    return _from_inner(int(stamp["seconds"], 16) - _TAI_OFFSET, line[stamp.end() :], stamps)


def _from_nginx(line: str, stamps: Stamps) -> Header | None:
    match = _NGINX.fullmatch(line)
    if match is None:
        return None
    at = stamps.from_iso(f"{match['date'].replace('/', '-')} {match['time']}", match["second"], "")
    return _header(at, "", "nginx", match["pid"], match["message"]) if at is not None else None


def _header(at: int, host: str, program: str, pid: str, message: str) -> Header:
    if not host and _DOVECOT_SERVICE.fullmatch(program):
        program, message = "dovecot", f"{program}: {message}"
    elif not host and program in _DOVECOT_LEVELS and _DOVECOT_SERVICE.match(message):
        program = "dovecot"  # before 2.0 the level came first
    if message.startswith("message repeated "):
        repeated = _REPEATED.fullmatch(message)
        if repeated is not None:
            return Header(at, host, program, pid, repeated[2], max(1, int(repeated[1])))
    return Header(at, host, program, pid, message)


def _from_object(line: str, stamps: Stamps, reference: int) -> Header | None:
    entry = load_object(line)
    if entry is None:
        return None
    if "__REALTIME_TIMESTAMP" in entry:
        return _from_journald(entry, stamps)
    text, stamp = entry.get("log"), entry.get("time")
    if isinstance(text, str) and isinstance(stamp, str):
        return _from_docker(text, stamp, stamps, reference)
    return _from_report(entry, line, stamps)


def _from_docker(text: str, stamp: str, stamps: Stamps, reference: int) -> Header | None:
    """Read what docker's json-file driver has: a line with its end, and a stamp; a part of a line has no end."""
    return _from_odd(f"{stamp} {text.rstrip()}", stamps, reference) if text.endswith("\n") else None


def _from_journald(entry: dict[str, Any], stamps: Stamps) -> Header | None:
    """Read one object of `journalctl -o json`; MESSAGE is text, or an array of bytes when it is not printable."""
    stamp, message = entry["__REALTIME_TIMESTAMP"], entry.get("MESSAGE")
    program = entry.get("SYSLOG_IDENTIFIER") or entry.get("_COMM")
    if isinstance(message, list):
        try:
            message = bytes(message).decode()
        except (TypeError, ValueError):
            return None
    if not (isinstance(stamp, str) and stamp.isascii() and stamp.isdigit() and len(stamp) < 17):
        return None
    if not isinstance(message, str) or not isinstance(program, str) or "\0" in message:
        return None
    at, pid, host = int(stamp) // 1_000_000, entry.get("SYSLOG_PID") or entry.get("_PID") or "", entry.get("_HOSTNAME")
    header = _from_inner(at, f" {message}", stamps) if "CONTAINER_ID" in entry else None
    return header or _header(at, str(host or ""), program, str(pid), message)


def _from_report(entry: dict[str, Any], line: str, stamps: Stamps) -> Header | None:
    """Read an object that a program wrote itself: the whole of it is the message. Its name is in `type`, but for
    Haraka, whose objects have a level and the id of a connection.
    """
    program, stamp, unix = entry.get("type"), entry.get("@timestamp"), entry.get("time_unix")
    if program is None and "level" in entry and "uuid" in entry:
        program, stamp = "haraka", entry.get("timestamp")
    at: int | None = None
    if isinstance(unix, int | float) and 0 <= unix < YEAR_10000:
        at = int(unix)
    elif isinstance(stamp, str) and (match := _STAMP_ISO.fullmatch(stamp)):
        at = stamps.from_iso(match["minute"], match["second"], match["offset"] or "")
    if at is None or not isinstance(program, str):
        return None
    return Header(at, str(entry.get("host") or ""), program, "", line)


_ESCAPED = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


def load_object(text: str) -> dict[str, Any] | None:
    """Read one JSON object; None when it is none, however deep or wrong it is."""
    try:
        value = json.loads(text)
        if _ESCAPED.search(text):  # half a surrogate pair is no text, and a NUL none that a database takes
            json.dumps(value, ensure_ascii=False).encode()
            if r"\u0000" in text:
                return None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
