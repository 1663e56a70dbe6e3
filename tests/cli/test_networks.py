"""Lists of networks as other programs keep them: each line of the cases, and which line is at fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repzone.cli.networks import parse_line, parse_list
from repzone.model import Client

CASES = [json.loads(line) for line in (Path(__file__).parents[1] / "data" / "networks.jsonl").read_text().splitlines()]
GOOD = [case for case in CASES if "networks" in case]
FAULTY = [case for case in CASES if "fault" in case]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: repr(case["line"]))
def test_a_line_gives_its_networks_with_their_comment(case: dict[str, dict[str, str]]) -> None:
    expected = [(Client.from_text(network), comment) for network, comment in case["networks"].items()]
    assert parse_line(str(case["line"])) == expected


@pytest.mark.parametrize("case", FAULTY, ids=lambda case: repr(case["line"]))
def test_a_line_that_cannot_be_meant_is_a_fault(case: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_line(case["line"])
    assert str(refused.value) == case["fault"]


def test_the_first_fault_is_named_with_its_line() -> None:
    with pytest.raises(ValueError, match=r"^line 3: 'nonsense' is no address or network$"):
        list(parse_list(["192.0.2.1", "", "nonsense", "!"]))
