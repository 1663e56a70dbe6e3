"""How long a thread goes on when it is to end and its clients do not stop to ask."""

from pathlib import Path

from tests.fastpath.needed import build, run

LAST_BATCHES = 64


def test_a_thread_ends_after_so_many_batches_though_more_are_there_and_at_once_when_none_is(tmp_path: Path) -> None:
    assert run(build("drain", tmp_path, "address,undefined")) == LAST_BATCHES
