"""The database fixtures of this suite keep what they promise."""

from __future__ import annotations

from tests.fix_embedded import ask, do


def test_each_test_has_a_database_of_its_own(database_url: str) -> None:
    assert ask(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
    do(database_url, "CREATE TABLE mine ()")


def test_which_no_other_test_has_touched(database_url: str) -> None:
    assert ask(database_url, "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'") == "0"


def test_the_oldest_supported_version_serves(postgres15_url: str) -> None:
    assert ask(postgres15_url, "SHOW server_version").startswith("15.")
