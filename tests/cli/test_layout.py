"""Columns and a terminal in, how wide each is out."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from repzone.cli.layout import Extent, lay_out, share
from repzone.cli.output import table

KEYS = ("categories.errors.threshold", "weights.unknown_recipient", "categories.auth.message")
REASONS = "recipient_rejected 4, auth_not_offered 12, unknown_recipient 1,204"
EXTENTS = st.tuples(*[st.integers(1, 60)] * 3).map(lambda three: Extent(*sorted(three)))


def drawn(width: int, columns: tuple[str, ...], *rows: tuple[str, ...], spare: tuple[str, ...] = ()) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    made = table(*columns)
    for row in rows:
        made.add_row(*row)
    lay_out(made, spare, console)
    with console.capture() as captured:
        console.print(made, crop=False)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [53, 60, 80])
def test_keys_stay_whole_beside_long_values(width: int) -> None:
    lines = drawn(width, ("key", "in force", "in the file"), *((key, "2h, 4h, 8h", "1h " * 40) for key in KEYS))
    assert set(KEYS) <= {line.split(" ")[0] for line in lines}
    assert max(map(len, lines)) <= width
    assert len(lines) < 50


@pytest.mark.parametrize("width", [50, 60, 80])
def test_words_stay_whole_in_the_last_column_too(width: int) -> None:
    lines = drawn(width, ("!client", ">offence", "reasons"), ("192.0.2.7", "1st", REASONS))
    assert set(REASONS.split()) <= set(" ".join(lines).split())
    assert max(map(len, lines)) <= width


def test_a_word_is_broken_where_it_has_no_room_and_an_address_never() -> None:
    lines = drawn(30, ("!client", "what"), ("192.0.2.7", f"{'x' * 40} 2001:db8:ffff::/64"))
    assert any(line.rstrip().endswith("2001:db8:ffff::/64") for line in lines)
    assert max(map(len, lines)) <= 30
    assert "".join("".join(lines).split()).count("x") == 40
    assert len(drawn(10, ("what",), ("2001:db8:ffff::/64",))[1].rstrip()) == 18


@pytest.mark.parametrize(
    ("width", "names"),
    [
        (200, ["client", "began", "left", "reasons"]),
        (52, ["client", "left", "reasons"]),
        (29, ["client", "reasons"]),
        (28, ["client", "left"]),
        (12, ["client"]),
    ],
)
def test_spare_columns_are_left_out_before_a_word_is_broken(width: int, names: list[str]) -> None:
    row = ("192.0.2.7", "2026-11-24 18:40 UTC", "1 h 4 min", REASONS)
    lines = drawn(width, ("!client", "!began", ">left", "reasons"), row, spare=("began", "left", "reasons"))
    assert lines[0].split() == names
    assert ("192.0.2.7  recipient_rejected" in lines[1]) == (names == ["client", "reasons"])
    assert max(map(len, lines)) <= width


@given(st.lists(EXTENTS, min_size=1, max_size=6), st.integers(1, 300))
def test_no_more_is_shared_than_there_is_and_nobody_has_less_than_the_least(extents: list[Extent], room: int) -> None:
    widths = share(extents, room)
    assert all(extent.least <= width <= extent.whole for extent, width in zip(extents, widths, strict=True))
    assert sum(widths) == min(
        max(room, sum(extent.least for extent in extents)), sum(extent.whole for extent in extents)
    )
    if sum(extent.words for extent in extents) <= room:
        assert all(extent.words <= width for extent, width in zip(extents, widths, strict=True))
