"""A block of lines tells what its lines tell, by whatever code it is read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hatch_build import compile_module
from repzone import logs
from repzone.logs import table
from tests.logs import blocks

SOAK = os.environ.get("REPZONE_SOAK") == "1"
BLOCKS = 20_000 if SOAK else 120
SANITIZERS = ("-Werror", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(params=["compiled", "plain"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Reads with the compiled skimmer, and without."""
    if request.param == "plain":
        with blocks.plain():
            yield
    elif table.compiled is None:
        pytest.skip("no compiler when this was installed: apt-get install gcc python3-dev, then make install")
    else:
        yield


@pytest.mark.usefixtures("way")
def test_blocks_tell_and_leave_what_their_lines_do() -> None:
    assert sum(map(blocks.compare, range(BLOCKS))) > BLOCKS


def test_the_compiled_skimmer_reads_and_writes_no_octet_that_is_not_its_own(tmp_path: Path) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("needs a compiler: apt-get install gcc python3-dev")
    for source in Path(logs.__path__[0]).glob("*.[ch]"):
        shutil.copy(source, tmp_path)
    try:
        compile_module(tmp_path / "_skim.c", SANITIZERS)
    except subprocess.CalledProcessError as error:
        if "Python.h" in error.stderr or "asan" in error.stderr:
            pytest.skip("needs apt-get install gcc python3-dev")
        raise AssertionError(error.stderr) from None
    found = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = {
        **os.environ,
        "LD_PRELOAD": found.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",  # so that each object has a place of its own
    }
    command = [sys.executable, "-m", "tests.logs.blocks", str(tmp_path), str(5_000 if SOAK else 40)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3_600)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40
