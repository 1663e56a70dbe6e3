"""What every command does with an open database before anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from repzone.cli.database import prepare, prepare_server
from repzone.config import load
from repzone.errors import ConfigError
from repzone.store.engine import Engine
from repzone.store.policies import load_rulebook

NOW = 1_800_000_000


def test_a_server_that_finds_its_database_again_goes_on_though_the_policy_became_faulty(
    engine: Engine, tmp_path: Path
) -> None:
    config, policy = tmp_path / "repzone.toml", tmp_path / "policy.toml"
    config.write_text('policy_file = "policy.toml"\nown_networks = ["192.0.2.0/28"]\n')
    policy.write_text("[categories.spam]\nthreshold = 5\n")
    settings = load(config)
    prepare(engine, settings, NOW)
    policy.write_text("[categories.spam]\nthreshhold = 1\n")
    prepare_server(engine, settings, NOW + 1)
    with pytest.raises(ConfigError, match=r"policy\.toml: line 2: categories\.spam\.threshhold"):
        prepare(engine, settings, NOW + 1)
    with engine.connect() as connection:
        assert load_rulebook(connection).at(NOW + 2).policy.rules("spam").threshold == 5
