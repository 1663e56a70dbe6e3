"""The console listens beside the public page, and only when it is configured."""

from __future__ import annotations

from pathlib import Path

import pytest

from repzone.cli.web import WebService
from repzone.config import Settings
from repzone.errors import ConfigError
from repzone.store.engine import Engine
from tests.web.console.stage import TOKEN


def listening(engine: Engine, folder: Path, **keys: object) -> list[str]:
    settings = Settings(state_dir=folder, **keys)  # type: ignore[arg-type]
    return [one.key for one in WebService(settings, engine).listeners()]


def test_it_is_off_unless_it_is_configured(engine: Engine, tmp_path: Path) -> None:
    assert listening(engine, tmp_path) == ["web_listen"]
    assert listening(engine, tmp_path, console_token=TOKEN) == ["web_listen"]
    found = listening(engine, tmp_path, console_token=TOKEN, console_listen=("127.0.0.1:0",))
    assert found == ["web_listen", "console_listen"]


def test_it_does_not_listen_where_anybody_could_come_in(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="console_listen"):
        listening(engine, tmp_path, console_listen=("127.0.0.1:0",))
