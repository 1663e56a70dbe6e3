"""How many packets may wait for a thread: a quick look at what `python -m bench.overload` measures."""

from pathlib import Path

from tests.fastpath.needed import build, run


def test_of_packets_that_would_wait_too_long_the_kernel_keeps_fewer_until_it_is_calm(tmp_path: Path) -> None:
    assert run(build("backlog", tmp_path, "address,undefined")) > 64
