"""What every test may use: the fixtures of tests/fix_*.py."""

from collections.abc import Iterator

import hypothesis
import pytest
import structlog

# The same examples in every run, so that what fails was changed; `--hypothesis-profile other` looks for others.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("other", deadline=None)
hypothesis.settings.load_profile("same")

pytest_plugins = ["tests.fix_db", "tests.fix_embedded", "tests.fix_engine"]


@pytest.fixture(autouse=True)
def _plain_log() -> Iterator[None]:
    """Forget where a command that ran in this process sent the log: that is closed by now."""
    yield
    structlog.reset_defaults()
