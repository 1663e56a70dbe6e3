"""What tests of the compiled core need: they skip where a compiler is missing, unless that is an error.

REPZONE_REQUIRE_MTA=1 or REPZONE_FASTPATH=require makes such a skip a failure.
"""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

SOAK = os.environ.get("REPZONE_SOAK") == "1"
HERE = Path(__file__).parent
FLAGS = ("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


def lack(reason: str) -> None:
    """Skip, or fail where everything has to be there."""
    if os.environ.get("REPZONE_REQUIRE_MTA") == "1" or os.environ.get("REPZONE_FASTPATH") == "require":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need_compiler() -> str:
    """Give the compiler; skip or fail where there is none, or no headers of Python."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        lack("no compiler or no Python.h: apt-get install gcc python3-dev")
    return str(compiler)


def build(name: str, folder: Path, sanitizers: str) -> Path:
    """Compile a program of this folder with sanitizers."""
    program = folder / f"{name}-{sanitizers.replace(',', '-')}"
    command = [need_compiler(), *FLAGS, f"-fsanitize={sanitizers}", str(HERE / f"{name}.c"), "-o", str(program)]
    made = subprocess.run([*command, "-lpthread"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return program


def run(program: Path, *arguments: str) -> int:
    """Run a program that prints one number."""
    ended = subprocess.run([str(program), *arguments], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return int(ended.stdout)
