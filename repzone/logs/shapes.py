"""Lines in that a component's parser made nothing of, their shapes out, most frequent first: how a new format is found.

A shape is a message in which all that changes from line to line is a placeholder: `<ip>`, `<host>`, `<n>` for numbers,
`<id>` for queue ids, session names and digests, `<…>` for what somebody may have chosen: quoted or bracketed texts,
mail addresses, values of keys, login names. Only plain words stay. Nothing is shown of what follows a word like
password or AUTH PLAIN.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo

from repzone.logs import components, syslog
from repzone.logs.fact import parse_client
from repzone.logs.stamp import Stamps

DISTINCT = 2_000
"""Shapes that are remembered; when there are twice as many, the rarer half is forgotten."""

_LONGEST = 65_536  # octets of a line
_LOOKED_AT = 400  # characters of a message

_SECRET = re.compile(
    r"\b((?:given |wrong |bad )?(?:password|passwd(?!-file)|passphrase|passcode|secret|token|credentials?)|"
    r"AUTH(?:ENTICATE)? (?:PLAIN|LOGIN|CRAM-MD5|NTLM|X?OAUTH\w*)|PASS|(?:CRAM-MD5|PLAIN|LOGIN)(?= [\w+/]{8,}=))\b.+",
    re.DOTALL,
)
_ADDRESS = re.compile(
    r"(?:(?<![\w.-])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|"
    r"(?<![\w.:-])(?:[Ii][Pp][Vv]6:)?(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f.]{0,15})"
    r"(?:/\d{1,3})?(?![\w-]|\.\w)"
)
_GROUP = re.compile(r"<[^<>]*+>|\"[^\"]*+\"|(?<!\w)'[^']*+'|\[[^\[\]]*+\]|\{[^{}]*+\}")
_MAIL = re.compile(
    r"(?:\b(?:from|to|orig_to|user|sender|recipient|rcpt|login|authid)=)?([^\s<>\"()\[\]{},;]*@[^\s<>\"()\[\]{},;]*)"
)
_WORD = re.compile(r"[^\s()\[\]{},;:=<>\"|\x01\x02]++")
_NUMBER = re.compile(r"[-+]?\d++(?>(?:[./-]\d++)*)(?:ms|s|%|[kKMG]?B)?")
_HOST = re.compile(r"(?:[\w-]{1,63}\.)+[A-Za-z][\w-]{0,62}")
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z'/_-]|\.(?=\w)){0,23}")
_HEX = re.compile(r"[A-F]{6,}|[a-f]{8,}")

_LOGIN_BEHIND = {"user", "username", "login", "account", "mailbox", "plaintext", "identity", "authid", "uid", "for"}
_ID_BEHIND = {"mail_id", "queued_as", "queue_id", "qid"}  # whose values may be letters only, as words are
_NO_LOGIN = {
    *("a", "an", "the", "name", "is", "was", "has", "not", "unknown", "failed", "failure", "error", "from", "to", "by"),
    *(
        "user",
        "authentication",
        "rejected",
        "denied",
        "disabled",
        "refused",
        "attempt",
        "attempts",
        "aborted",
        "timeout",
        "lookup",
        "with",
        "and",
    ),
}
_OPEN_KEYS = {
    "action",
    "reason",
    "method",
    "mech",
    "status",
    "proto",
    "protocol",
    "event",
    "service",
    "stage",
    "result",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How many lines of a program have this shape, and the number of the first one."""

    program: str
    shape: str
    count: int
    line: int


class ShapeReader:
    """Reads one log in order and keeps the shapes of what known programs said and no parser knew."""

    def __init__(self, zone: tzinfo, find: Callable[[str], components.Parse | None] = components.find) -> None:
        """Take the time zone of stamps without one, and what knows a program's parser."""
        self.lines = 0  # all
        self.skipped = 0  # too long, with NUL, or not UTF-8
        self.unmatched = 0  # of no known form, so that not even the program is known
        self._stamps = Stamps(zone)
        self._find = find
        self._counts: dict[tuple[str, str], list[int]] = {}  # program and shape: count, number of the first line

    def read(self, line: bytes | None, number: int, reference: int) -> None:
        """Take a line (None: it was too long), its number, and the instant near which it was written."""
        self.lines += 1
        if line is None or len(line) > _LONGEST or b"\0" in line:
            self.skipped += 1
            return
        try:
            text = line.rstrip(b"\r\n").decode()
        except UnicodeDecodeError:
            self.skipped += 1
            return
        header = syslog.parse(text, self._stamps, reference)
        if header is None:
            self.unmatched += 1
            return
        parse = self._find(header.program)
        if parse is not None and parse(header) is None:
            self._add(header.program, shape(header.message), number)

    def shapes(self) -> list[Shape]:
        """Give the shapes, most frequent first."""
        found = [Shape(program, text, count, line) for (program, text), (count, line) in self._counts.items()]
        return sorted(found, key=lambda one: (-one.count, one.line))

    def _add(self, program: str, text: str, number: int) -> None:
        self._counts.setdefault((program, text), [0, number])[0] += 1
        if len(self._counts) >= 2 * DISTINCT:
            kept = self.shapes()[:DISTINCT]
            self._counts = {(one.program, one.shape): [one.count, one.line] for one in kept}


def shape(message: str) -> str:
    """Give the shape of a message, printable and on one line."""
    text = "".join(letter if letter.isprintable() else " " for letter in message[:_LOOKED_AT])
    text = _SECRET.sub("\\1 \x02", text)
    text = _ADDRESS.sub(lambda found: "\x01" if parse_client(found[0]) else found[0], text)
    text = _GROUP.sub(lambda found: found[0] if found[0] in ("[\x01]", "<\x01>") else "\x02", text)
    text = _MAIL.sub(lambda found: found[0][: found.start(1) - found.start()] + "\x02", text)
    pieces: list[str] = []
    end, before = 0, ""
    for word in _WORD.finditer(text):
        between = text[end : word.start()]
        pieces += between, _place(word[0], before if between.strip(" :'") in ("", "=") else "", between.endswith("="))
        end, before = word.end(), word[0].lower()
    pieces.append(text[end:])
    return "".join(pieces).replace("\x01", "<ip>").replace("\x02", "<…>")


def _place(word: str, before: str, value: bool) -> str:
    """Give a word, or the placeholder that stands for it; `value` when it is the value of the key `before`."""
    core = word.rstrip(".!?")
    tail = word[len(core) :]
    if "@" in core or (before in _LOGIN_BEHIND and core.lower() not in _NO_LOGIN):
        return "\x02" + tail
    if before in _ID_BEHIND:
        return "<id>" + tail
    if _NUMBER.fullmatch(core):
        return "<n>" + tail
    if _PLAIN.fullmatch(core) and "." not in core and not _HEX.fullmatch(core):
        return ("\x02" if value and before not in _OPEN_KEYS else core) + tail
    if _HOST.fullmatch(core):
        return "<host>" + tail
    if len(core) < 2:
        return word
    return ("<id>" if core.isascii() else "\x02") + tail
