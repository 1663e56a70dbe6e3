"""What tests against a real Postfix need: they skip where packages or root are missing, unless that is an error.

REPZONE_REQUIRE_MTA=1 (as .ci/run sets it) makes such a skip a failure.
"""

import os

import pytest

from tests.mta import peer


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test marked `mta`, before any of its fixtures, on a machine that cannot run it."""
    reason = peer.missing() if item.get_closest_marker("mta") else ""
    if reason and os.environ.get("REPZONE_REQUIRE_MTA") == "1":
        pytest.fail(f"REPZONE_REQUIRE_MTA=1, but {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)
