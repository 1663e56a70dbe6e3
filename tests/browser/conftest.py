"""What tests with a real browser need: Debian's Chromium, driven by Playwright; they skip without it.

REPZONE_REQUIRE_BROWSER=1 (as .ci/run sets it) makes such a skip a failure.
"""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test marked `browser`, before any of its fixtures, on a machine without Chromium."""
    if CHROMIUM or not item.get_closest_marker("browser"):
        return
    if os.environ.get("REPZONE_REQUIRE_BROWSER") == "1":
        pytest.fail("REPZONE_REQUIRE_BROWSER=1, but chromium is missing: apt-get install chromium", pytrace=False)
    pytest.skip("chromium is missing: apt-get install chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Give a headless Chromium; each test opens a context of its own in it.

    Playwright's loop turns in this thread as long as it is open: no other file's tests may run meanwhile.
    """
    with sync_playwright() as playwright:
        # As root, as in CI, it has no sandbox of its own.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()
