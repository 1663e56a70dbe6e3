"""`init`: the configuration that it writes, and what it takes over from a Postfix that is here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from repzone.cli import init
from repzone.cli.mynetworks import Trusted, parse
from repzone.config import load
from repzone.model import Client
from tests.cli.conftest import Run
from tests.fix_db import missing

C = Client.from_text


@pytest.fixture
def postfix(tmp_path: Path) -> Path:
    """The folder of a Postfix configuration of this test's own."""
    if not shutil.which("postconf"):
        missing("postconf", "postfix")
    (tmp_path / "postfix").mkdir()
    (tmp_path / "postfix" / "master.cf").touch()
    (tmp_path / "postfix" / "main.cf").write_text("compatibility_level = 3.6\n")
    return tmp_path / "postfix"


def test_networks_that_main_cf_lets_relay_become_own_networks(run: Run, postfix: Path) -> None:
    (postfix / "main.cf").write_text(
        "compatibility_level = 3.6\noffice = 192.0.2.0/24\n"
        "mynetworks = 127.0.0.0/8 [::1]/128 10.0.0.0/8 $office, [2001:db8:1::]/48 198.0.0.0/8 cidr:/etc/postfix/more\n"
    )
    done = run("init", MAIL_CONFIG=str(postfix))
    assert done.code == 0, done.err
    assert "Own networks, since Postfix lets them relay: 192.0.2.0/24, 2001:db8:1::/48" in done.out
    assert "Only as a comment: Postfix trusts 198.0.0.0/8; are they yours alone?" in done.out
    assert "mynetworks also has cidr:/etc/postfix/more" in done.out
    text = (postfix.parent / "repzone.toml").read_text()
    assert 'own_networks = ["192.0.2.0/24", "2001:db8:1::/48"]\n' in text
    assert '# Postfix trusts these (mynetworks); are they yours alone? ["198.0.0.0/8"]\n' in text
    exempt = {one["network"] for one in run("allow", "list", "-o", "json").objects}
    assert exempt == {"192.0.2.0/24", "2001:db8:1::/48"}
    (postfix.parent / "repzone.toml").write_text("own_networks = []\n")
    (again,) = run("init", "-o", "json", MAIL_CONFIG=str(postfix)).objects
    assert (again["written"], again["own_networks"]) == ([], [])  # what is there stays as it is


def test_without_networks_of_its_own_in_main_cf_nothing_is_taken_over(run: Run, postfix: Path) -> None:
    (done,) = run("init", "-o", "json", MAIL_CONFIG=str(postfix)).objects
    assert done["own_networks"] == []
    assert f"Wrote nothing: what is in {postfix.parent} stays as it is." in run("init").out
    assert "\nown_networks = []" in (postfix.parent / "repzone.toml").read_text()


def test_in_etc_the_state_goes_where_the_systemd_units_may_write(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init, "SYSTEM", tmp_path / "repzone.toml")
    said = run("init", PATH="").out
    assert "go to /var/lib/repzone, as the systemd units have it" in said
    assert load(tmp_path / "repzone.toml").state_dir == Path("/var/lib/repzone")
    assert "/var/lib" not in run("init", PATH="").out  # it was written before
    assert "/var/lib" not in run("init", "-c", "other/repzone.toml", PATH="").out
    assert load(tmp_path / "other" / "repzone.toml").state_dir == tmp_path / "other" / "state"


def test_a_faulty_postfix_is_no_reason_to_fail(run: Run, postfix: Path) -> None:
    (postfix / "main.cf").unlink()
    assert run("init", MAIL_CONFIG=str(postfix)).code == 0


def test_what_postfix_found_by_itself_or_is_wide_is_doubtful_and_reserved_space_is_left_out() -> None:
    words = (
        "127.0.0.0/8 [::1]/128 192.168.1.0/24 192.0.2.0/24,[2001:db8::]/48 198.0.0.0/15 /etc/postfix/nets !192.0.2.7"
    )
    own, wide = (C("192.0.2.0/24"), C("2001:db8::/48")), (C("198.0.0.0/15"),)
    others = ("/etc/postfix/nets", "!192.0.2.7")
    assert parse(words, named=True) == Trusted(own, wide, others)
    assert parse(words, named=False) == Trusted((), (*own, *wide), others)
