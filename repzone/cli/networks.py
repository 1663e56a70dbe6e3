"""Lists of networks as other programs keep them in, networks with their comments out.

One or more networks a line, `#` and what follows is their comment, and so are words behind the network. Of Postfix
`mynetworks` with its brackets and commas and CIDR tables (cidr_table(5)); of rbldnsd simple ip4set, ip4trie and
ip6trie lines, with `;` comments, `$` directives and `:A:TXT` values (rbldnsd(8)).
"""

import re
from collections.abc import Iterable, Iterator

from repzone.model import Client

_BRACKETS = re.compile(r"\[([0-9A-Fa-f:.]+)\](/\d+)?")
_NEXT = re.compile(r"(\s*,\s*|\s+)([^\s,]+)")
_ADDRESS = re.compile(r"!?\[?[0-9A-Fa-f]*[.:][0-9A-Fa-f:.]*\]?(/\d*)?")
_VALUE = re.compile(r":(?!:)[^:]*(?::(.*))?")


def parse_list(lines: Iterable[str]) -> Iterator[tuple[Client, str]]:
    """Give each network with its comment; ValueError names the number of the line that is at fault, and why."""
    for number, line in enumerate(lines, 1):
        try:
            yield from parse_line(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None


def parse_line(line: str) -> list[tuple[Client, str]]:
    """Give the networks of one line, none where it has none; ValueError where one cannot be meant."""
    text, _, comment = line.partition("#")
    text = re.sub(r"^\s*mynetworks\s*=", "", text).strip()
    if not text or text[0] in ";$" or _VALUE.match(text):
        return []
    first, *_ = re.split(r"[\s,]", text, maxsplit=1)
    networks, end = [parse_word(first)], len(first)
    while (more := _NEXT.match(text, end)) and ("," in more[1] or _is_address(more[2])):
        networks.append(parse_word(more[2]))
        end = more.end()
    rest = text[end:].strip(" \t,")
    value = _VALUE.fullmatch(rest)
    words = (value[1] or "") if value else rest
    return [(network, comment.strip() or words.strip()) for network in networks]


def _is_address(word: str) -> bool:
    """Tell whether a word behind a network is meant as another one, not as its comment or rbldnsd's value."""
    return _ADDRESS.fullmatch(word) is not None and not _VALUE.match(word)


def parse_word(word: str) -> Client:
    """Read one network, IPv6 also in the brackets that Postfix wants; ValueError when it is none."""
    if word.startswith("!"):
        raise ValueError(f"{word!r} takes something out of a network: name the networks that are meant")
    match = _BRACKETS.fullmatch(word)
    try:
        return Client.from_text(match[1] + (match[2] or "") if match else word)
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(f"{word!r} has bits behind its prefix length") from None
        raise ValueError(f"{word!r} is no address or network") from None
