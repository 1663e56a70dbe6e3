"""C sources of the package (`repzone/*/_NAME.c`) in, an extension module of each out; without a compiler none.

They use the limited API of Python 3.11 (PEP 384), so one build serves every later version. Set REPZONE_CFLAGS to add
to the compiler's flags (`-Werror`, sanitizers), REPZONE_FASTPATH=require to fail where they cannot be built, or
REPZONE_FASTPATH=off to leave them out.
"""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ("-std=c11", "-O2", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra")
LIMITED = "-DPy_LIMITED_API=0x030B0000"


class CompiledCore(BuildHookInterface[Any]):
    """Builds the modules beside their sources, where an editable installation finds them too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling what came of it."""
        if (Path(self.root) / "build/man").is_dir():  # made by `make docs`
            build_data.setdefault("shared_data", {})["build/man"] = "share/man/man1"
        package = Path(self.root) / "repzone"
        for stale in package.glob("*/_*.so"):
            stale.unlink()
        wanted = os.environ.get("REPZONE_FASTPATH", "")
        sources = [] if wanted == "off" else sorted(package.glob("*/_*.c"))
        try:
            built = [compile_module(source) for source in sources]
        except (OSError, subprocess.CalledProcessError) as error:
            if wanted == "require":
                raise
            said = getattr(error, "stderr", None) or str(error)
            self.app.display_warning(
                f"repzone's compiled core is left out, and answers and log lines take several times as long: {said}\n"
                "To have it: apt-get install gcc python3-dev, then install again."
            )
            return
        if built:
            build_data["pure_python"] = False
            build_data["artifacts"] += [f"/{file.relative_to(self.root)}" for file in built]
            build_data["tag"] = f"cp311-abi3-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compile_module(source: Path, flags: tuple[str, ...] = ()) -> Path:
    """Compile one source to a module beside it; CalledProcessError holds what the compiler said."""
    module = source.with_suffix(".abi3.so")
    compiler = shlex.split(os.environ.get("CC") or "cc")
    include = f"-I{sysconfig.get_path('include')}"
    extra = shlex.split(os.environ.get("REPZONE_CFLAGS", ""))
    command = [*compiler, *FLAGS, *flags, LIMITED, include, *extra, str(source), "-o", str(module), "-lpthread"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return module
