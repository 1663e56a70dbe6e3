"""A console over a test's own database, and browsers that ask it: what the tests of its views share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from repzone.config import Settings
from repzone.model import Client, Event, Listing
from repzone.store.engine import Engine
from repzone.web.console.app import build_console
from repzone.web.site import build
from tests.store.acts import add
from tests.store.samples import HOUR, NOW, add_policy

C = Client.from_text
TOKEN = "a token that nobody guesses"  # noqa: S105 - of a console that lives as long as a test
PROXY = ("127.0.0.1", 4711)
STRANGER = ("203.0.113.66", 4711)


@dataclass
class Stage:
    """The application, its database, and the clock that it goes by."""

    app: Any
    engine: Engine
    now: int = NOW
    built: tuple[Any, ...] = ()
    browsers: list[TestClient] = field(default_factory=list)

    def browser(self, name: str = "ada", peer: tuple[str, int] = PROXY, **headers: str) -> TestClient:
        """Give a browser of somebody whom the proxy names; of a stranger when the name is empty."""
        named = {"x-remote-user": name} if name else {}
        made = TestClient(self.app, client=peer, headers={**named, **headers}, follow_redirects=False)
        self.browsers.append(made)
        return made


def post(browser: TestClient, path: str, form: dict[str, Any], page: str = "/policy") -> Any:
    """Send a form as our own pages do, with the token that such a page holds."""
    found = re.search(r'name="csrf" value="(\w+)"', browser.get(page).text)
    token = found[1] if found else ""
    return browser.post(path, data={"csrf": token, **form}, headers={"sec-fetch-site": "same-origin"})


def confirm(browser: TestClient, path: str, form: dict[str, Any]) -> Any:
    """Look at the preview of a form, and send what its page sends when that is confirmed."""
    return post(browser, path, {**form, "seen": look(browser, path, form)})


def look(browser: TestClient, path: str, form: dict[str, Any]) -> str:
    """Give the word with which a preview says what was seen."""
    found = re.search(r'name="seen" value="(\w+)"', post(browser, path, form).text)
    return found[1] if found else "nothing was shown"


@pytest.fixture
def stage(engine: Engine, tmp_path: Path) -> Iterator[Stage]:
    """A console with a token and a proxy's header, and a policy in its database."""
    add_policy(engine)
    with stages(engine, tmp_path) as made:
        yield made


class stages:
    """Gives a stage and ends its browsers."""

    def __init__(self, engine: Engine, folder: Path, **keys: Any) -> None:
        values = {"console_listen": ("127.0.0.1:0",), "console_token": TOKEN, "console_user_header": "X-Remote-User"}
        settings = Settings(state_dir=folder, **{**values, **keys})
        site = build(settings)
        self.made = Stage(None, engine)
        clock: Callable[[], int] = lambda: self.made.now  # noqa: E731
        self.made.app = build_console(settings, lambda: engine, lambda: site, clock)
        self.made.built = (settings, lambda: site, clock)

    def __enter__(self) -> Stage:
        return self.made

    def __exit__(self, *error: object) -> None:
        for browser in self.made.browsers:
            browser.close()


def listing(address: str, category: str = "spam", **other: Any) -> Listing:
    """Give a listing that began an hour ago and lasts two more."""
    values: dict[str, Any] = {"offence": 1, "began": NOW - HOUR, "expires": NOW + 2 * HOUR, "reasons": {}}
    return Listing(C(address), category, **{**values, **other})  # type: ignore[arg-type]


def offend(engine: Engine, address: str, detail: str, component: str = "postfix/smtpd", number: int = 3) -> None:
    """Store events with a line each."""
    add(engine, *(Event(NOW - 600 + n, C(address), "spam_rejected", 1, component, detail) for n in range(number)))
