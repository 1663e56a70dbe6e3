"""Zone files: what is read from them, and what is refused with the key that is wrong."""

import re

import pytest

from repzone.errors import ConfigError
from repzone.model import Client
from repzone.shipped import folder
from repzone.zone.definition import arrange, parse

LEAST = 'apex = "bl.example.net"\nnameservers = ["ns1.example.net"]\n'


def test_the_shipped_block_list_loads() -> None:
    zone = parse((folder("zones") / "bl.toml").read_text(), "bl.toml")
    assert (zone.apex, zone.kind, zone.ttl, zone.negative_ttl) == ("bl.example.net", "block", 300, 60)
    assert zone.codes == {"errors": 4, "spam": 8, "virus": 16, "auth": 32, "manual": 64}
    assert sorted(zone.test_codes) == [2, 4, 8, 16, 32, 64]


def test_the_shipped_allow_list_loads() -> None:
    zone = parse((folder("zones") / "wl.toml").read_text(), "wl.toml")
    assert (zone.apex, zone.kind, zone.codes) == ("wl.example.net", "allow", {})


@pytest.mark.parametrize("name", ["bl.toml", "wl.toml"])
def test_every_key_that_a_shipped_file_shows_commented_out_can_be_used(name: str) -> None:
    text = (folder("zones") / name).read_text()
    inside = text.replace('["ns1.example.net"]', '["ns.bl.example.net"]') if name == "bl.toml" else text
    shown = re.sub(r'^# (?=\[|[a-z_"][a-z.]*"? = |[a-z]+_[a-z]+ = )', "", inside, flags=re.MULTILINE)
    shown = shown.replace('\ntext = "{client}: ', '\n# text = "{client}: ')  # a key cannot be a text and a table
    zone, plain = parse(shown, name), parse(text, name)
    assert shown.count("\n# ") < text.count("\n# ") - 4
    assert (zone.ttl, zone.negative_ttl, zone.codes) == (plain.ttl, plain.negative_ttl, plain.codes)
    assert zone.categories == plain.categories
    if name == "bl.toml":
        assert zone.hosts
        assert zone.addresses.a
        assert zone.texts["spam"].text.startswith("Spam from")


def test_a_zone_without_a_name_server_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"f\.toml: line 2: nameservers: "):
        parse('apex = "bl.example.net"\nnameservers = []', "f.toml")
    with pytest.raises(ConfigError, match=r"f\.toml: nameservers: is missing"):
        parse('apex = "bl.example.net"', "f.toml")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("ttl = 300", "ttl: .* no duration"),
        ('ttl = "2d"', "ttl: .*86400"),
        ('negative_ttl = "2h"', "negative_ttl: .*3600"),
        ('kind = "grey"', "kind: "),
        ('contact = "hostmaster"', "contact: .* no mail address"),
        ("categories = []", "categories: "),
        ('categories = ["spam", "spam"]', "categories: each only once"),
        ('categories = ["greed"]', r"categories\.0: "),
        ("[codes]\nerrors = 2", r"codes\.errors: .*greater than or equal to 3"),
        ("[codes]\nerrors = 255", r"codes\.errors: .*254"),
        ("[codes]\nerrors = 8", "codes: two categories have the same code"),
        ('kind = "allow"\n[codes]\nspam = 9', "codes: an allow zone"),
        ('text = "{ip}"', "text: there is no field {ip}"),
        ('text = "café"', "text: only printable ASCII"),
        ('[text]\nspam = "{ip}"', r"text\.spam: there is no field {ip}"),
        ('[text]\nspm = "x"', "text: there is no category 'spm'"),
        ("text = 3", "text: write one text"),
        (f'text = "{"x" * 242}"', "text: the text can become 256 octets"),
        (f'url = "http://{"x" * 190}"', "url: the text can become"),
        ('url = "http://x/{left}"', "url: there is no field {left}"),
        ('url = "http://x/ y"', "url: a URL has no spaces"),
        ('allow_query = ["192.0.2.1/24"]', r"allow_query\.0: .*host bits"),
        ('allow_query = ["everybody"]', r"allow_query\.0: "),
        ('a = ["::1"]', r"a\.0: "),
        ('txt = ["é"]', r"txt\.0: only printable"),
        ('[addresses]\n"ns1.example.net" = ["192.0.2.1"]', "addresses: ns1.example.net is no name server inside"),
        ("color = 3", "color: there is no such key"),
    ],
)
def test_a_value_that_is_off_is_refused_by_file_and_key(line: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=rf"^f\.toml: (line \d+: )?{wanted}"):
        parse(LEAST + line, "f.toml")


def test_a_key_that_is_misspelt_is_named_and_not_the_one_that_is_missing() -> None:
    with pytest.raises(ConfigError, match="apexx: there is no such key"):
        parse('apexx = "bl.example.net"', "bl.toml")


@pytest.mark.parametrize("apex", ["", "a b", "-x.net", "x..net", "é.net", "x" * 64 + ".net", ".".join(["x" * 47] * 4)])
def test_an_apex_that_is_no_name_or_too_long_for_ipv6_names_is_refused(apex: str) -> None:
    with pytest.raises(ConfigError, match="apex"):
        parse(LEAST.replace("bl.example.net", apex), "f.toml")


def test_an_apex_is_lower_cased_and_may_end_in_a_dot() -> None:
    zone = parse(LEAST.replace("bl.example.net", "BL.Example.NET."), "f.toml")
    assert (zone.apex, zone.name) == ("bl.example.net", (b"bl", b"example", b"net"))


def test_a_name_server_inside_the_zone_needs_its_addresses_and_a_name_of_its_own() -> None:
    inside = LEAST.replace("ns1.example.net", "ns.bl.example.net")
    with pytest.raises(ConfigError, match=r"addresses: ns\.bl\.example\.net is inside the zone"):
        parse(inside, "f.toml")
    zone = parse(inside + '[addresses]\n"ns.bl.example.net" = ["192.0.2.53", "2001:db8::53"]', "f.toml")
    assert zone.hosts[b"ns"].a == (bytes((192, 0, 2, 53)),)
    assert len(zone.hosts[b"ns"].aaaa[0]) == 16
    for label in ("1", "_status", "f", "x.y"):
        text = f'{LEAST}[addresses]\n"{label}.bl.example.net" = ["192.0.2.1"]'.replace(
            "ns1.example.net", f"{label}.bl.example.net"
        )
        with pytest.raises(ConfigError, match="nameservers: "):
            parse(text, "f.toml")


def test_codes_can_be_changed_one_by_one_and_follow_the_categories() -> None:
    zone = parse(LEAST + 'categories = ["spam", "virus"]\n[codes]\nspam = 4', "f.toml")
    assert zone.codes == {"spam": 4, "virus": 16}
    assert zone.categories == {"spam", "virus"}


def test_who_may_ask_is_loopback_and_the_own_networks_unless_the_file_says() -> None:
    own = [Client.from_text("192.0.2.0/24")]
    zone = parse(LEAST, "f.toml", own_networks=own)
    assert zone.admits(Client.from_text("127.0.0.9"))
    assert zone.admits(Client.from_text("::1"))
    assert zone.admits(Client.from_text("192.0.2.9"))
    assert not zone.admits(Client.from_text("198.51.100.1"))
    said = parse(LEAST + 'allow_query = ["198.51.100.0/24"]', "f.toml", own_networks=own)
    assert said.admits(Client.from_text("198.51.100.1"))
    assert not said.admits(Client.from_text("127.0.0.1"))


def test_the_policys_message_begins_the_text_unless_the_zone_has_its_own() -> None:
    zone = parse(
        LEAST + '[text]\nvirus = "Virus {offence}"', "f.toml", messages={"spam": "Spam", "virus": "Never seen"}
    )
    assert zone.texts["spam"].text.startswith("Spam: ")
    assert zone.texts["virus"].text == "Virus {offence}"
    assert zone.texts["errors"].text.startswith("Too many errors from your IP: ")


def test_zones_are_arranged_longest_apex_first_and_no_apex_comes_twice() -> None:
    wide = parse(LEAST, "a.toml")
    deep = parse(LEAST.replace("bl.", "spam.bl."), "b.toml")
    assert arrange([wide, deep]) == (deep, wide)
    with pytest.raises(ConfigError, match=r"two zones have the apex bl\.example\.net"):
        arrange([wide, deep, wide])
