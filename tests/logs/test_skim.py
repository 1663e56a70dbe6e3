"""A block of lines tells what its lines tell, by whatever code it is read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from hatch_build import compile_module
from repzone import logs
from tests.logs import blocks

SOAK = os.environ.get("REPZONE_SOAK") == "1"
BLOCKS = 20_000 if SOAK else 120
SANITIZERS = ("-Werror", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.mark.usefixtures("way")
def test_blocks_tell_and_leave_what_their_lines_do() -> None:
    assert sum(map(blocks.compare, range(BLOCKS))) > BLOCKS


TAKEN = "postfix/smtpd[7]: 4F2A1B0C9D: client=x[192.0.2.7]"
REMOVED = "postfix/qmgr[7]: 4F2A1B0C9D: removed"
JUDGED = "amavis[7]: (1-1) Blocked SPAM, [192.0.2.7] <a@b.example> -> <c@d.example>, Queue-ID: 4F2A1B0C9D"
FAILED = "postfix/smtpd[7]: warning: x[192.0.2.7]: SASL LOGIN authentication failed: UGFzc3dvcmQ6"
SPANS = {
    "a removed message lingers": ((TAKEN, REMOVED), (REMOVED.replace("9D", "9E"),)),
    "a removed message can be judged": ((TAKEN, REMOVED), (JUDGED,)),
    "a message can be judged again": ((JUDGED,), (JUDGED,)),
    "a message is accepted": ((TAKEN,), ("postfix/qmgr[7]: 4F2A1B0C9D: from=<a>, size=1, nrcpt=1 (queue active)",)),
    "a message is known": ((TAKEN,), (TAKEN.replace("9D", "9E"),)),
    "a session is known": (("postfix/smtpd[7]: connect from x[192.0.2.7]",), (FAILED.replace("[7]", "[8]"),)),
    "a client fails to log in": ((FAILED,), ("postfix/smtpd[7]: disconnect from x[192.0.2.7] auth=0/2",)),
    "a password database is asked": (("dovecot: auth: sql(u,192.0.2.7): unknown user",), (FAILED,)),
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("what", SPANS)
@pytest.mark.parametrize("seconds", [span + more for span in (60, 200, 3_600) for more in (-1, 0, 1)])
def test_what_is_remembered_for_a_while_is_so_for_the_same_while(what: str, seconds: int) -> None:
    dice, begin = Random(1), blocks.BEGIN
    before, behind = SPANS[what]
    forms = [*((form, begin) for form in before), *((form, begin + seconds) for form in behind)]
    blocks.compare_lines(
        dice, [f"{datetime.fromtimestamp(at, UTC):%b %e %T} mx1 {form}".encode() for form, at in forms]
    )


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
