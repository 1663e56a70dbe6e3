"""TOML texts and a key in, the line that the key is on out."""

import re
import tomllib
from pathlib import Path

import pytest

from repzone.config import TEMPLATE, load
from repzone.errors import ConfigError
from repzone.policy.rules import INITIAL, SHIPPED, parse
from repzone.shipped import folder
from repzone.toml import find_line
from repzone.zone.definition import parse as parse_zone

TEXT = """\
# [tables.commented]
name = "[no.table]"   # name = 2
text = \"\"\"
deep = "\\"\"\"\"

dotted.key."in quotes" = 1
list = [  # ]
    "]",
    { inner = 2 }, 'x"',
]
inline = { one = 1, two = { three = 3 } }

[tables]
name = 2
[tables.commented]
long = '''
[other]
name = 3
'''''
[other.'deep name']
name = 4
[[rows]]
name = 5
[[rows]]
[rows.sub]
[[rows]]
name = 6
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2),
        (("text",), 3),
        (("deep",), None),
        (("dotted", "key", "in quotes"), 6),
        (("dotted",), 6),
        (("list", 1, "inner"), 7),
        (("list", 9), None),
        (("inline", "two", "three"), 11),
        (("tables",), 13),
        (("tables", "name"), 14),
        (("tables", "commented", "long"), 16),
        (("other",), 20),
        (("other", "name"), None),
        (("other", "deep name", "name"), 21),
        (("rows", 0, "name"), 23),
        (("rows", 2, "name"), 27),
        (("rows", 3), None),
        ((), None),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_key_is_found_on_its_line(path: tuple[str | int, ...], line: int | None, end: str) -> None:
    text = TEXT.replace("\n", end)
    tomllib.loads(text)
    assert find_line(text, path) == line


def keys(text: str) -> list[tuple[int, int, str]]:
    """Give line and place of each key and of the last name of each header."""
    found = (
        (number, re.match(r"(\[(?:\w+\.)*)?(\w+)(?=\]| = )", line)) for number, line in enumerate(text.split("\n"), 1)
    )
    return [(number, match.start(2), match[2]) for number, match in found if match]


def misspelt(text: str) -> list[tuple[int, str]]:
    """Give the text with each of its keys misspelt, and the line of that."""
    lines = text.split("\n")
    return [
        (number, "\n".join([*lines[: number - 1], f"{line[:at]}x{line[at:]}", *lines[number:]]))
        for number, at, _ in keys(text)
        for line in lines[number - 1 : number]
    ]


@pytest.mark.parametrize("text", [SHIPPED, INITIAL], ids=["shipped", "initial"])
def test_each_key_of_the_policy_that_is_misspelt_is_named_with_its_line(text: str) -> None:
    cases = misspelt(text)
    assert len(cases) > 35
    for line, wrong in cases:
        with pytest.raises(ConfigError, match=rf"^policy\.toml: line {line}: [\w.]*x\w+: there is no ") as caught:
            parse(wrong, "policy.toml")
        assert f".{caught.value.key}".rpartition(".")[2] in wrong.split("\n")[line - 1]


def test_each_key_of_a_zone_that_is_misspelt_is_named_with_its_line() -> None:
    text = (folder("zones") / "bl.toml").read_text()
    for line, wrong in misspelt(text):
        with pytest.raises(ConfigError, match=rf"^bl\.toml: line {line}: "):
            parse_zone(wrong, "bl.toml")


def test_each_key_of_the_configuration_that_is_misspelt_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "repzone.toml"
    cases = misspelt(TEMPLATE)
    assert len(cases) > 12
    for line, wrong in cases:
        file.write_text(wrong)
        with pytest.raises(ConfigError, match=rf"repzone\.toml: line {line}: [\w.]+: there is no such key$"):
            load(file)


def test_a_value_that_cannot_be_meant_is_named_with_its_line_and_a_key_that_is_missing_with_none() -> None:
    with pytest.raises(ConfigError, match=r"^p: line 3: categories\.spam\.window: 6 is no duration"):
        parse("[categories]\n[categories.spam]\nwindow = 6", "p")
    with pytest.raises(ConfigError, match=r"^z: apex: is missing"):
        parse_zone('nameservers = ["ns.example.net"]', "z")


def test_a_variable_has_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "repzone.toml").write_text('max_stale = "1h"')
    monkeypatch.setenv("REPZONE_MAX_STALE", "soon")
    with pytest.raises(ConfigError, match=r"^\$REPZONE_MAX_STALE: max_stale: 'soon' is no duration"):
        load(tmp_path / "repzone.toml")
