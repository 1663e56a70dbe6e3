"""What a server keeps of good files, and goes by while they are faulty."""

from __future__ import annotations

from pathlib import Path

import pytest

from repzone.config import Settings, load
from repzone.definitions import parse_zones
from repzone.errors import ConfigError
from repzone.jobs import last_good

ZONE = 'apex = "bl.example.net"\nnameservers = ["ns.example.net"]\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "bl.toml").write_text(ZONE)
    (tmp_path / "policy.toml").write_text('[categories.spam]\nmessage = "Too much spam"\n')
    return configured(tmp_path)


def configured(folder: Path, zones: str = "zones", more: str = "") -> Settings:
    file = folder / "repzone.toml"
    file.write_text(f'state_dir = "state"\nzones_dir = "{zones}"\npolicy_file = "policy.toml"\n{more}')
    return load(file)


def kept(settings: Settings) -> Path:
    return settings.state_dir / last_good.NAME


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("zones/bl.toml", ZONE + "ttl = 300\n", "ttl"),
        ("zones/bl.toml", "apex = x\n", "at line 1"),
        ("zones/two.toml", ZONE, "apex"),
        ("policy.toml", "[categories.spam]\nthreshold = 0\n", "categories.spam.threshold"),
    ],
)
def test_what_was_good_serves_while_a_file_is_faulty_and_the_fault_is_said(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, key: str
) -> None:
    good, fault = last_good.load(settings)
    assert not fault
    (tmp_path / name).write_text(text)
    found, fault = last_good.load(settings)
    assert found == good
    assert str(tmp_path / name) in fault
    assert key in fault
    assert "files.refused" in capsys.readouterr().out
    with pytest.raises(ConfigError):
        last_good.renew(settings)
    assert last_good.load(settings)[0] == good  # a refused reload keeps what was kept


def test_zones_that_are_gone_are_served_all_the_same(settings: Settings, tmp_path: Path) -> None:
    good, _ = last_good.load(settings)
    (tmp_path / "zones" / "bl.toml").unlink()
    found, fault = last_good.load(settings)
    assert [zone.apex for zone in parse_zones(found, settings)] == ["bl.example.net"]
    assert found == good
    assert "there is no zone definition" in fault


def test_with_nothing_kept_a_fault_is_an_error(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "zones" / "bl.toml").write_text("apex = 1")
    with pytest.raises(ConfigError, match=r"bl\.toml: line 1: apex"):
        last_good.load(settings)
    assert not kept(settings).exists()


def test_what_was_kept_of_other_files_is_not_served(settings: Settings, tmp_path: Path) -> None:
    last_good.load(settings)
    (tmp_path / "others").mkdir()
    with pytest.raises(ConfigError, match="there is no zone definition"):
        last_good.load(configured(tmp_path, zones="others"))


@pytest.mark.parametrize("octets", [b"", b"{}", b"\xff", b'{"zones_dir": "", "policy_file": "", "definitions": 1}'])
def test_what_was_kept_and_is_damaged_is_said_and_not_served(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], octets: bytes
) -> None:
    last_good.load(settings)
    kept(settings).write_bytes(octets)
    (tmp_path / "zones" / "bl.toml").write_text("apex = 1")
    with pytest.raises(ConfigError, match=r"bl\.toml: line 1: apex"):
        last_good.load(settings)
    assert "files.kept_unusable" in capsys.readouterr().out


def test_what_is_kept_is_its_owners_alone_and_written_only_when_it_changes(settings: Settings, tmp_path: Path) -> None:
    last_good.load(settings)
    first = kept(settings).stat()
    assert first.st_mode & 0o777 == 0o600
    last_good.load(settings)
    assert kept(settings).stat().st_ino == first.st_ino
    (tmp_path / "zones" / "bl.toml").write_text(ZONE + 'ttl = "60s"\n')
    last_good.load(settings)
    assert kept(settings).stat().st_ino != first.st_ino
    assert [file.name for file in settings.state_dir.iterdir()] == [last_good.NAME]


def test_a_folder_that_cannot_be_written_keeps_nobody_from_serving(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("not a folder")
    good, fault = last_good.load(settings)
    assert (len(good.zones), fault) == (1, "")
    assert "files.not_kept" in capsys.readouterr().out
