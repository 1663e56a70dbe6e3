"""Settings that lead to a file, and its octets."""

from __future__ import annotations

from pathlib import Path

import pytest

from repzone.config import load, load_hash_key
from repzone.errors import ConfigError

KEY = b"0123456789abcdef"


def written(folder: Path, text: str) -> Path:
    (folder / "repzone.toml").write_text(text)
    return folder / "repzone.toml"


def test_without_a_key_file_there_is_no_key_of_ones_own(tmp_path: Path) -> None:
    assert load_hash_key(load(written(tmp_path, ""))) is None


@pytest.mark.parametrize("octets", [KEY, KEY + b"\n", KEY + b"\r\n", KEY * 4])
def test_the_key_is_what_the_file_holds_without_the_end_of_its_line(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "hash.key").write_bytes(octets)
    key = load_hash_key(load(written(tmp_path, 'hash_key_file = "hash.key"')))
    assert key == octets.strip()


@pytest.mark.parametrize("octets", [None, b"", KEY[1:] + b"\n", KEY * 4 + b"x"])
def test_a_key_that_is_missing_or_too_short_or_too_long_is_said(tmp_path: Path, octets: bytes | None) -> None:
    if octets is not None:
        (tmp_path / "hash.key").write_bytes(octets)
    with pytest.raises(ConfigError, match=r"hash\.key: (cannot be read|a key has 16 to 64 octets)") as caught:
        load_hash_key(load(written(tmp_path, 'hash_key_file = "hash.key"')))
    assert "0123" not in str(caught.value)


@pytest.mark.parametrize(("text", "seconds"), [("", 86400), ('greylist_wait = "1h"', 3600)])
def test_the_time_for_greylisted_letters_is_a_day_unless_said(tmp_path: Path, text: str, seconds: int) -> None:
    assert load(written(tmp_path, text)).greylist_wait == seconds


@pytest.mark.parametrize("value", ['"59m"', '"31d"', "3600"])
def test_a_time_for_greylisted_letters_that_cannot_be_meant_is_said(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="greylist_wait"):
        load(written(tmp_path, f"greylist_wait = {value}"))
