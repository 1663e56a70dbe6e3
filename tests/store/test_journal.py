"""The audit page by page: every act once, the newest first."""

from __future__ import annotations

import pytest

from repzone.store import journal
from repzone.store.acts import add_act
from repzone.store.engine import Engine
from repzone.store.journal import Journal, load_journal
from tests.store.samples import NOW


@pytest.fixture
def acts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Eight acts, several in one second; pages of three."""
    monkeypatch.setattr(journal, "PAGE", 3)
    with engine.begin() as connection:
        for number, at in enumerate((0, 0, 1, 1, 1, 1, 2, 3)):
            add_act(connection, "ada", "ban", f"192.0.2.{number}", "why", NOW + at)
    return engine


def subjects(page: Journal) -> list[str]:
    return [entry.act.subject.rpartition(".")[2] for entry in page.entries]


def test_pages_lead_back_in_time_and_forth_again(acts: Engine) -> None:
    with acts.connect() as connection:
        pages = [load_journal(connection)]
        while pages[-1].older:
            last = pages[-1].entries[-1]
            pages.append(load_journal(connection, before=(last.act.at, last.id)))
        assert [subjects(page) for page in pages] == [["7", "6", "5"], ["4", "3", "2"], ["1", "0"]]
        assert [page.newer for page in pages] == [False, True, True]
        first = pages[-1].entries[0]
        back = load_journal(connection, after=(first.act.at, first.id))
        assert subjects(back) == ["4", "3", "2"]
        assert back.newer
        first = back.entries[0]
        top = load_journal(connection, after=(first.act.at, first.id))
        assert (subjects(top), top.newer) == (["7", "6", "5"], False)


def test_without_an_act_there_is_an_empty_page(engine: Engine) -> None:
    with engine.connect() as connection:
        assert load_journal(connection) == Journal([], newer=False, older=False)
