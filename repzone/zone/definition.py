"""Text of `zones/*.toml` in, a `Zone` out: apex, codes, TTLs, texts, who may ask; ConfigError when it is off."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from repzone.errors import ConfigError
from repzone.model import Client
from repzone.reasons import CATEGORIES, Category
from repzone.toml import Duration, Section, load
from repzone.zone.names import MAX_NAME, NIBBLES, Name, Unnamed, from_labels, wire_length
from repzone.zone.texts import FIELDS, MAX_TEXT, MESSAGES, Template, check, default_template, worst_length

CODES: Mapping[Category, int] = {"errors": 4, "spam": 8, "virus": 16, "auth": 32, "manual": 64}
"""The last octet of 127.0.0.x: powers of two, so that exact and bitmask clients both work."""

LISTED = 2
"""The code of the test entry and of an allow zone's answer (RFC 5782 §5)."""

STATUS = b"_status"
LOOPBACK = ("127.0.0.0/8", "::1/128")
ALLOW_TEXT = "{client} is exempted by the operator."
MAX_APEX = MAX_NAME - 2 * NIBBLES  # an IPv6 name must fit in front of it

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


def _name(text: str) -> str:
    lowered = text.lower().removesuffix(".")
    labels = lowered.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or wire_length(to_name(lowered)) > MAX_NAME:
        raise ValueError(f"{text!r} is no domain name")
    return lowered


def _contact(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not at or not re.fullmatch(r"[A-Za-z0-9._+=-]{1,63}", local):
        raise ValueError(f"{text!r} is no mail address such as hostmaster@example.net")
    return f"{local}@{_name(domain)}"


def _network(text: object) -> Client:
    if isinstance(text, Client):
        return text
    if not isinstance(text, str):
        raise ValueError("write an address or a prefix such as 192.0.2.0/24")
    return Client.from_text(text)


def _printable(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("only printable ASCII can stand in a TXT record")
    return text


def _url(text: str) -> str:
    if " " in text:
        raise ValueError("a URL has no spaces")
    return check(text, fields=("client",))


def _texts_given(text: object) -> object:
    """Hold the union's error apart from pydantic's, which names a branch and not the key."""
    if isinstance(text, str):
        return text
    if not isinstance(text, Mapping) or not all(isinstance(one, str) for one in text.values()):
        raise ValueError("write one text, or a table with a text for each category")
    for name in text.keys() - set(CATEGORIES):
        raise ValueError(f"there is no category {name!r}; there are {', '.join(CATEGORIES)}")
    return text


DomainName = Annotated[str, AfterValidator(_name)]
Network = Annotated[Client, BeforeValidator(_network)]
Code = Annotated[int, Field(ge=3, le=254)]


class Definition(Section):
    """The keys of a zone file as they are written, each with type, default and bounds."""

    apex: DomainName
    kind: Literal["block", "allow"] = "block"
    nameservers: tuple[DomainName, ...] = Field(min_length=1, max_length=13)
    contact: Annotated[str, AfterValidator(_contact)] | None = None  # hostmaster@ the apex
    categories: tuple[Category, ...] = Field(default=CATEGORIES, min_length=1)
    codes: dict[Category, Code] = Field(default_factory=dict)
    ttl: Annotated[Duration, Field(ge=0, le=86400)] = 300
    negative_ttl: Annotated[Duration, Field(ge=0, le=3600)] = 60
    url: Annotated[str, Field(max_length=200), AfterValidator(_url)] = ""
    text: Annotated[str | dict[Category, str], BeforeValidator(_texts_given)] = Field(default_factory=dict)
    allow_query: tuple[Network, ...] | None = None  # loopback and the operator's own networks
    allow_transfer: tuple[Network, ...] = ()
    a: tuple[IPv4Address, ...] = ()
    aaaa: tuple[IPv6Address, ...] = ()
    txt: tuple[Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_printable)], ...] = ()
    addresses: dict[DomainName, tuple[IPv4Address | IPv6Address, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if len(set(self.categories)) != len(self.categories):
            raise ValueError("categories: each only once")
        if self.kind == "allow" and self.model_fields_set & {"categories", "codes"}:
            raise ValueError("codes: an allow zone has no categories and codes, it answers 127.0.0.2")
        if wire_length(to_name(self.apex)) > MAX_APEX:
            raise ValueError(f"apex: too long for IPv6 names, at most {MAX_APEX} octets")
        codes = [self.codes.get(name, CODES[name]) for name in self.categories]
        if len(set(codes)) != len(codes):
            raise ValueError("codes: two categories have the same code")
        self._know_addresses()
        return self

    def _know_addresses(self) -> None:
        apex = to_name(self.apex)
        inside = {name for name in self.nameservers if to_name(name)[-len(apex) :] == apex}
        for name in sorted(inside):
            labels = to_name(name)[: -len(apex)]
            if len(labels) != 1 or labels[0] == STATUS or from_labels(labels) is not Unnamed.OTHER:
                raise ValueError(f"nameservers: {name} must be one label in front of the apex, and no address")
            if not self.addresses.get(name):
                raise ValueError(f"addresses: {name} is inside the zone, so it needs its addresses here")
        for name in sorted(self.addresses.keys() - inside):
            raise ValueError(f"addresses: {name} is no name server inside the zone")


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one name, as they travel: 4 and 16 octets."""

    a: tuple[bytes, ...] = ()
    aaaa: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone, checked: names are lower-case labels, durations seconds, `texts` the TXT of each category."""

    apex: str
    name: Name
    kind: Literal["block", "allow"]
    nameservers: tuple[Name, ...]
    contact: Name
    categories: frozenset[Category]
    codes: Mapping[Category, int]  # of its categories; empty for an allow zone
    ttl: int
    negative_ttl: int
    url: str
    texts: Mapping[Category, Template]  # of its categories; empty for an allow zone
    allow_text: Template
    allow_query: tuple[Client, ...]
    allow_transfer: tuple[Client, ...]
    addresses: Addresses = field(default_factory=Addresses)  # of the apex
    txt: tuple[bytes, ...] = ()  # of the apex
    hosts: Mapping[bytes, Addresses] = field(default_factory=dict)  # name servers inside, by their label
    test_codes: Mapping[int, Category | None] = field(default_factory=dict)  # N of each 127.0.0.N always listed

    def admits(self, client: Client) -> bool:
        """Tell whether that address may ask."""
        return any(network.covers(client) for network in self.allow_query)


def parse(
    text: str, source: str, *, messages: Mapping[str, str] | None = None, own_networks: Iterable[Client] = ()
) -> Zone:
    """Read a zone file; ConfigError names the file, the key and the value wanted.

    `messages` are the policy's, by category; `own_networks` may ask beside loopback where the file has no
    `allow_query`.
    """
    given = load(text, source, Definition)
    block = given.kind == "block"
    codes = {name: given.codes.get(name, CODES[name]) for name in given.categories} if block else {}
    admitted = given.allow_query
    if admitted is None:
        admitted = (*(Client.from_text(network) for network in LOOPBACK), *own_networks)
    local, _, domain = (given.contact or f"hostmaster@{given.apex}").rpartition("@")
    return Zone(
        apex=given.apex,
        name=to_name(given.apex),
        kind=given.kind,
        nameservers=tuple(to_name(name) for name in given.nameservers),
        contact=(local.encode(), *to_name(domain)),
        categories=frozenset(codes),
        codes=codes,
        ttl=given.ttl,
        negative_ttl=given.negative_ttl,
        url=given.url,
        texts=_texts(given, source, {**MESSAGES, **(messages or {})}) if block else {},
        allow_text=_allow_text(given, source),
        allow_query=admitted,
        allow_transfer=given.allow_transfer,
        addresses=_addresses((*given.a, *given.aaaa)),
        txt=tuple(line.encode() for line in given.txt),
        hosts={to_name(name)[0]: _addresses(addresses) for name, addresses in given.addresses.items()},
        test_codes={LISTED: None, **{code: name for name, code in codes.items()}},
    )


def arrange(zones: Iterable[Zone], source: str = "zones") -> tuple[Zone, ...]:
    """Give the zones with the longest apex first, as look-ups need them; ConfigError when two have one apex."""
    ordered = tuple(sorted(zones, key=lambda zone: (-len(zone.name), zone.name)))
    for before, after in pairwise(ordered):
        if before.name == after.name:
            raise ConfigError(source, "apex", f"two zones have the apex {after.apex}")
    return ordered


def to_name(text: str) -> Name:
    """Give the labels of a domain name that is already checked."""
    return tuple(label.encode() for label in text.split("."))


def _addresses(addresses: Iterable[IPv4Address | IPv6Address]) -> Addresses:
    packed = [address.packed for address in addresses]
    return Addresses(
        a=tuple(octets for octets in packed if len(octets) == 4),
        aaaa=tuple(octets for octets in packed if len(octets) == 16),
    )


def _texts(given: Definition, source: str, messages: Mapping[str, str]) -> dict[Category, Template]:
    texts: dict[Category, Template] = {}
    for category in given.categories:
        own = given.text if isinstance(given.text, str) else given.text.get(category)
        key = "text" if isinstance(given.text, str) else f"text.{category}" if own else "url"
        template = own or default_template(messages[category], category, given.url)
        texts[category] = _template(template, given.url, source, key, FIELDS)
    return texts


def _allow_text(given: Definition, source: str) -> Template:
    if given.kind == "block":
        return Template("")
    if not isinstance(given.text, str) and given.text:
        raise ConfigError(source, "text", "an allow zone has one text, not one for each category")
    text = given.text if isinstance(given.text, str) else ALLOW_TEXT + (" {url}" if given.url else "")
    return _template(text, given.url, source, "text", ("client", "url"))


def _template(text: str, url: str, source: str, key: str, fields: tuple[str, ...]) -> Template:
    try:
        check(text, fields)
    except ValueError as error:
        raise ConfigError(source, key, str(error)) from None
    length = worst_length(text, url)
    if length > MAX_TEXT:
        raise ConfigError(
            source, key, f"the text can become {length} octets long, at most {MAX_TEXT} fit into a TXT string"
        )
    return Template(text, url)
