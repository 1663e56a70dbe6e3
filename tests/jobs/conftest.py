"""Logs that have been read once, when they were empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from repzone.store.engine import Engine
from tests.jobs.rotated import KeptLog, Log, make_log


@pytest.fixture
def log(engine: Engine, tmp_path: Path) -> Log:
    return make_log(engine, tmp_path, Log)


@pytest.fixture
def kept(engine: Engine, tmp_path: Path) -> Iterator[KeptLog]:
    log = make_log(engine, tmp_path, KeptLog)
    yield log
    log.close()
